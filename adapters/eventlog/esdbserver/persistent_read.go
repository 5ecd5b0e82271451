package esdbserver

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

// Read makes the caller a consumer of a group: options come first, then what it reports of
// the events it is given.
func (s *groupsService) Read(call subscriptions.PersistentSubscriptions_ReadServer) error {
	k, err := s.read(call)
	if err != nil && s.stopping.Err() != nil && call.Context().Err() == nil {
		err = event.ErrUnavailable
	}
	return replied(call, s.logger, groupError(k, err))
}

func (s *groupsService) read(call subscriptions.PersistentSubscriptions_ReadServer) (persistent.Key, error) {
	first, err := call.Recv()
	if errors.Is(err, io.EOF) || err == nil && first.GetOptions() == nil {
		return persistent.Key{}, refuse(codes.InvalidArgument, "a subscription begins with its options")
	}
	if err != nil {
		return persistent.Key{}, err
	}
	o := first.GetOptions()
	k, err := keyOf(o.GetGroupName(), o.GetStreamIdentifier(), o.GetAll())
	if err != nil {
		return k, err
	}
	if o.GetBufferSize() < 1 {
		return k, refuse(codes.InvalidArgument, "the buffer size is below 1")
	}
	if err := s.ready(); err != nil {
		return k, err
	}
	c, err := s.groups.Connect(k, connectionOf(call.Context(), int(o.GetBufferSize())))
	if err != nil {
		return k, err
	}
	defer c.Leave()
	err = call.Send(&subscriptions.ReadResp{Content: &subscriptions.ReadResp_SubscriptionConfirmation_{
		SubscriptionConfirmation: &subscriptions.ReadResp_SubscriptionConfirmation{SubscriptionId: k.String()},
	}})
	if err != nil {
		return k, err
	}
	// The consumer ends when its call does, when it sends no more, or when the server
	// closes. The receiver ends with the call, and by then does nothing more.
	ctx, cancel := context.WithCancelCause(call.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(event.ErrUnavailable) })()
	go func() { cancel(receiveReplies(call, c)) }()
	structured := o.GetUuidOption().GetString_() == nil
	for {
		d, err := c.Next(ctx)
		if err == nil {
			err = sendDelivery(call, d, structured)
		}
		if errors.Is(err, io.EOF) {
			return k, nil
		}
		if err != nil {
			return k, err
		}
	}
}

// receiveReplies passes on what a consumer sends, until it sends no more (io.EOF).
func receiveReplies(call subscriptions.PersistentSubscriptions_ReadServer, c *persistent.Consumer) error {
	for {
		request, err := call.Recv()
		if err != nil {
			return err
		}
		switch sent := request.GetContent().(type) {
		case *subscriptions.ReadReq_Ack_:
			ids, err := idsFromProto(sent.Ack.GetIds())
			if err != nil {
				return err
			}
			c.Acknowledge(ids)
		case *subscriptions.ReadReq_Nack_:
			ids, err := idsFromProto(sent.Nack.GetIds())
			if err != nil {
				return err
			}
			action, err := actionOf(sent.Nack.GetAction())
			if err != nil {
				return err
			}
			c.Refuse(action, sent.Nack.GetReason(), ids)
		default:
			return refuse(codes.InvalidArgument, "options stand once, at the beginning")
		}
	}
}

func idsFromProto(given []*shared.UUID) ([]string, error) {
	ids := make([]string, len(given))
	for i, g := range given {
		id, err := idFromProto(g)
		if err != nil {
			return nil, err
		}
		ids[i] = id.String()
	}
	return ids, nil
}

func actionOf(a subscriptions.ReadReq_Nack_Action) (persistent.Action, error) {
	switch a {
	case subscriptions.ReadReq_Nack_Unknown:
		return persistent.Unknown, nil
	case subscriptions.ReadReq_Nack_Park:
		return persistent.Park, nil
	case subscriptions.ReadReq_Nack_Retry:
		return persistent.Retry, nil
	case subscriptions.ReadReq_Nack_Skip:
		return persistent.Skip, nil
	case subscriptions.ReadReq_Nack_Stop:
		return persistent.Stop, nil
	}
	return 0, refuse(codes.InvalidArgument, "unknown action")
}

func sendDelivery(call subscriptions.PersistentSubscriptions_ReadServer, d persistent.Delivery, structured bool) error {
	message := &subscriptions.ReadResp_ReadEvent{
		Position: &subscriptions.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(d.Event.Position)},
		Count:    &subscriptions.ReadResp_ReadEvent_RetryCount{RetryCount: clamp(d.Retries)},
	}
	recorded, err := deliveredToProto(d.Event, structured)
	if err != nil {
		return err
	}
	if d.Link {
		message.Link = recorded
	} else {
		message.Event = recorded
	}
	if d.Target != nil {
		if message.Event, err = deliveredToProto(*d.Target, structured); err != nil {
			return err
		}
	}
	return call.Send(&subscriptions.ReadResp{Content: &subscriptions.ReadResp_Event{Event: message}})
}

func deliveredToProto(e event.Recorded, structured bool) (*subscriptions.ReadResp_ReadEvent_RecordedEvent, error) {
	r, err := recordedToProto(e, structured)
	if err != nil {
		return nil, err
	}
	return &subscriptions.ReadResp_ReadEvent_RecordedEvent{
		Id: r.GetId(), StreamIdentifier: r.GetStreamIdentifier(), StreamRevision: r.GetStreamRevision(),
		PreparePosition: r.GetPreparePosition(), CommitPosition: r.GetCommitPosition(),
		Metadata: r.GetMetadata(), CustomMetadata: r.GetCustomMetadata(), Data: r.GetData(),
	}, nil
}

// connectionOf identifies the caller.
func connectionOf(ctx context.Context, slots int) persistent.Connection {
	c := persistent.Connection{Slots: slots, Username: userOf(ctx), Name: "<unknown>"}
	if p, ok := peer.FromContext(ctx); ok {
		c.From = p.Addr.String()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	if names := md.Get("connection-name"); len(names) > 0 && names[0] != "" {
		c.Name = names[0]
	}
	return c
}

// userOf is the name that a caller gave. Where names matter it was checked before.
func userOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	if given := md.Get("authorization"); len(given) > 0 {
		if _, encoded, ok := strings.Cut(given[0], " "); ok {
			if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
				name, _, _ := strings.Cut(string(raw), ":")
				return name
			}
		}
	}
	return "anonymous"
}
