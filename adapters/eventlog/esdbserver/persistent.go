package esdbserver

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"time"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

// openTimeout is for reading how far the groups were, and starting them.
const openTimeout = time.Minute

func openGroups(o Options) (*persistent.Manager, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	return persistent.Open(ctx, persistent.Options{
		Log: o.Log,
		Resolve: func(ctx context.Context, link event.Recorded) (event.Recorded, bool, error) {
			return resolveLink(ctx, o.Log, link)
		},
		Compile: compileStored,
		Logger:  o.Logger,
		Now:     o.Now,
	})
}

// groupsService serves persistent subscriptions.
type groupsService struct {
	subscriptions.UnimplementedPersistentSubscriptionsServer
	groups   *persistent.Manager // nil if they cannot be served
	logger   *slog.Logger
	stopping context.Context // ends when the server closes
}

// Create makes a group.
func (s *groupsService) Create(ctx context.Context, request *subscriptions.CreateReq) (*subscriptions.CreateResp, error) {
	settings, err := createdSettings(request.GetOptions())
	err = s.change(ctx, settings.Key(), err, func() error { return s.groups.Create(ctx, userOf(ctx), settings) })
	return &subscriptions.CreateResp{}, err
}

// Update changes a group's settings.
func (s *groupsService) Update(ctx context.Context, request *subscriptions.UpdateReq) (*subscriptions.UpdateResp, error) {
	settings, err := updatedSettings(request.GetOptions())
	err = s.change(ctx, settings.Key(), err, func() error { return s.groups.Update(ctx, userOf(ctx), settings) })
	return &subscriptions.UpdateResp{}, err
}

// Delete ends a group and forgets it.
func (s *groupsService) Delete(ctx context.Context, request *subscriptions.DeleteReq) (*subscriptions.DeleteResp, error) {
	o := request.GetOptions()
	k, err := keyOf(o.GetGroupName(), o.GetStreamIdentifier(), o.GetAll())
	err = s.change(ctx, k, err, func() error { return s.groups.Delete(ctx, userOf(ctx), k) })
	return &subscriptions.DeleteResp{}, err
}

// ReplayParked has parked messages come again.
func (s *groupsService) ReplayParked(ctx context.Context, request *subscriptions.ReplayParkedReq) (*subscriptions.ReplayParkedResp, error) {
	o := request.GetOptions()
	k, err := keyOf(o.GetGroupName(), o.GetStreamIdentifier(), o.GetAll())
	before := int64(-1)
	if stop, limited := o.GetStopAtOption().(*subscriptions.ReplayParkedReq_Options_StopAt); limited {
		if before = stop.StopAt; before < 0 && err == nil {
			err = &persistent.Invalid{Reason: "Cannot stop replaying parked message at a negative version."}
		}
	}
	err = s.change(ctx, k, err, func() error { return s.groups.Replay(k, before) })
	return &subscriptions.ReplayParkedResp{}, err
}

// RestartSubsystem starts all groups anew from what is stored.
func (s *groupsService) RestartSubsystem(ctx context.Context, _ *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, s.change(ctx, persistent.Key{}, nil, func() error { return s.groups.Restart(ctx) })
}

// GetInfo returns the state of a group.
func (s *groupsService) GetInfo(ctx context.Context, request *subscriptions.GetInfoReq) (*subscriptions.GetInfoResp, error) {
	o := request.GetOptions()
	k, err := keyOf(o.GetGroupName(), o.GetStreamIdentifier(), o.GetAll())
	var info persistent.Info
	err = s.change(ctx, k, err, func() (err error) {
		info, err = s.groups.Info(k)
		return err
	})
	return &subscriptions.GetInfoResp{SubscriptionInfo: infoToProto(info)}, err
}

// List returns the state of the groups of a stream, or of all groups.
func (s *groupsService) List(ctx context.Context, request *subscriptions.ListReq) (*subscriptions.ListResp, error) {
	var k persistent.Key
	var err error
	switch o := request.GetOptions().GetListOption().(type) {
	case *subscriptions.ListReq_Options_ListAllSubscriptions:
	case *subscriptions.ListReq_Options_ListForStream:
		k, err = keyOf("", o.ListForStream.GetStream(), o.ListForStream.GetAll())
	default:
		err = refuse(codes.InvalidArgument, "list all groups, or those of a stream")
	}
	reply := &subscriptions.ListResp{}
	err = s.change(ctx, k, err, func() error {
		all, err := s.groups.List(k.Stream)
		for _, info := range all {
			reply.Subscriptions = append(reply.Subscriptions, infoToProto(info))
		}
		return err
	})
	return reply, err
}

// change runs a call of one request, unless its request was bad already, and turns its
// error into the reply.
func (s *groupsService) change(ctx context.Context, k persistent.Key, bad error, call func() error) error {
	err := bad
	if err == nil {
		err = s.ready()
	}
	if err == nil {
		err = call()
	}
	if err == nil {
		return nil
	}
	return repliedUnary(ctx, s.logger, groupError(k, err))
}

func (s *groupsService) ready() error {
	if s.groups == nil {
		return event.ErrUnavailable
	}
	return nil
}

// keyOf names a group; all is not nil for $all.
func keyOf(group string, stream *shared.StreamIdentifier, all *shared.Empty) (persistent.Key, error) {
	switch {
	case all != nil:
		return persistent.Key{Stream: persistent.All, Group: group}, nil
	case stream == nil:
		return persistent.Key{}, refuse(codes.InvalidArgument, "a group is of a stream or of $all")
	case string(stream.GetStreamName()) == persistent.All:
		return persistent.Key{Stream: persistent.All, Group: group}, &persistent.Invalid{Reason: "$all is asked for by its own option."}
	}
	return persistent.Key{Stream: string(stream.GetStreamName()), Group: group}, nil
}

// groupError gives an error of a group the words and trailers of the protocol.
func groupError(k persistent.Key, err error) error {
	group, stream := k.Group, k.Stream
	about := func(exception string, more ...string) []string {
		return append([]string{trailerException, exception, trailerStream, printable(stream), trailerGroup, printable(group)}, more...)
	}
	var invalid *persistent.Invalid
	switch {
	case errors.As(err, &invalid):
		return refuse(codes.Internal, "Subscription group "+group+" on stream "+stream+" failed: '"+invalid.Reason+"'",
			about("persistent-subscription-failed", trailerReason, printable(invalid.Reason))...)
	case errors.Is(err, persistent.ErrNotFound):
		return refuse(codes.NotFound, "Subscription group "+group+" on stream "+stream+" does not exist.", about("persistent-subscription-does-not-exist")...)
	case errors.Is(err, persistent.ErrExists):
		return refuse(codes.AlreadyExists, "Subscription group "+group+" on stream "+stream+" exists.", about("persistent-subscription-exists")...)
	case errors.Is(err, persistent.ErrMaxSubscribers):
		return refuse(codes.FailedPrecondition, "Maximum subscriptions reached for subscription group "+group+" on stream "+stream+".", about("maximum-subscribers-reached")...)
	case errors.Is(err, persistent.ErrDropped):
		return refuse(codes.Canceled, "Subscription group "+group+" on stream "+stream+" was dropped.", about("persistent-subscription-dropped")...)
	}
	return err
}

// printable writes a name so that a trailer can hold it.
func printable(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}

// compileStored makes a stored filter usable.
func compileStored(f persistent.Filter) (eventlog.Match, error) {
	passes, err := compile(expressionOf(f))
	if err != nil {
		return nil, err
	}
	return func(stream, typ string) (bool, error) {
		if f.Context == byStream {
			return passes(stream)
		}
		return passes(typ)
	}, nil
}

// clamp fits a count into the protocol's field.
func clamp(n int) int32 { return int32(min(n, math.MaxInt32)) }

func infoToProto(i persistent.Info) *subscriptions.SubscriptionInfo {
	s := i.Settings
	info := &subscriptions.SubscriptionInfo{
		EventSource: s.Stream, GroupName: s.Group, Status: i.Status,
		AveragePerSecond: clamp(i.PerSecond), TotalItems: i.Total, CountSinceLastMeasurement: i.Since,
		LastCheckpointedEventPosition: i.Checkpoint, LastKnownEventPosition: i.LastKnown, StartFrom: i.StartFrom,
		ResolveLinkTos: s.ResolveLinks, ExtraStatistics: s.ExtraStatistics,
		MessageTimeoutMilliseconds: clamp(s.MessageTimeoutMS), MaxRetryCount: clamp(s.MaxRetryCount),
		LiveBufferSize: clamp(s.LiveBufferSize), BufferSize: clamp(s.HistoryBufferSize), ReadBatchSize: clamp(s.ReadBatchSize),
		CheckPointAfterMilliseconds: clamp(s.CheckpointAfterMS), MinCheckPointCount: clamp(s.MinCheckpoint), MaxCheckPointCount: clamp(s.MaxCheckpoint),
		ReadBufferCount: clamp(i.Read), LiveBufferCount: int64(i.Live), RetryBufferCount: clamp(i.Retry),
		TotalInFlightMessages: clamp(i.InFlight), OutstandingMessagesCount: clamp(i.Outstanding),
		NamedConsumerStrategy: s.Strategy, MaxSubscriberCount: clamp(s.MaxSubscribers), ParkedMessageCount: i.Parked,
	}
	for _, c := range i.Consumers {
		connection := &subscriptions.SubscriptionInfo_ConnectionInfo{
			From: c.From, Username: c.Username, ConnectionName: c.Name,
			AverageItemsPerSecond: clamp(c.PerSecond), TotalItems: c.Total, CountSinceLastMeasurement: c.Since,
			AvailableSlots: clamp(c.Free), InFlightMessages: clamp(c.InFlight),
		}
		for _, m := range c.Measured {
			connection.ObservedMeasurements = append(connection.ObservedMeasurements, &subscriptions.SubscriptionInfo_Measurement{Key: m.Key, Value: m.Value})
		}
		info.Connections = append(info.Connections, connection)
	}
	return info
}
