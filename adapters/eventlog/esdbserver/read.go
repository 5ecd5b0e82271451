package esdbserver

import (
	"context"
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Read serves reads and subscriptions, of a stream or of $all.
func (s *streamsService) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
	// A read ends when its call does, or when the server closes.
	ctx, cancel := context.WithCancel(call.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	options := request.GetOptions()
	r := &reader{
		log: s.log, ctx: ctx, call: call, options: options,
		structured: options.GetUuidOption().GetString_() == nil,
		positions:  options.GetControlOption().GetCompatibility() >= 1,
	}
	err := r.run()
	if err != nil && s.stopping.Err() != nil && call.Context().Err() == nil {
		err = refuse(codes.Unavailable, "Server Is Not Ready")
	}
	return replied(call, s.logger, err)
}

// reader is one call of Read.
type reader struct {
	log        *eventlog.Log
	ctx        context.Context
	call       streams.Streams_ReadServer
	options    *streams.ReadReq_Options
	structured bool // ids as two numbers, else as text
	positions  bool // the client understands first and last positions
}

func (r *reader) run() error {
	backwards := r.options.GetReadDirection() == streams.ReadReq_Options_Backwards
	_, subscribes := r.options.GetCountOption().(*streams.ReadReq_Options_Subscription)
	if !subscribes && r.options.GetCountOption() == nil {
		return refuse(codes.InvalidArgument, "a read has a count or is a subscription")
	}
	if subscribes && backwards {
		return refuse(codes.InvalidArgument, "a subscription goes forwards")
	}
	switch o := r.options.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		switch {
		case r.options.GetFilter() != nil:
			return refuse(codes.InvalidArgument, "a filter is for $all")
		case subscribes:
			return r.subscribeStream(o.Stream)
		}
		return r.readStream(o.Stream, backwards)
	case *streams.ReadReq_Options_All:
		filter, err := filterOf(r.options)
		if err != nil {
			return err
		}
		if subscribes {
			return r.subscribeAll(o.All, filter)
		}
		return r.readAll(o.All, filter, backwards)
	}
	return refuse(codes.InvalidArgument, "a read is of a stream or of $all")
}

// limit returns the count asked for, and false if nothing is to be read.
func (r *reader) limit() (int, bool) {
	return int(min(r.options.GetCount(), math.MaxInt)), r.options.GetCount() > 0
}

func (r *reader) readStream(o *streams.ReadReq_Options_StreamOptions, backwards bool) error {
	limit, any := r.limit()
	if !any {
		return nil
	}
	read := event.StreamRead{Stream: string(o.GetStreamIdentifier().GetStreamName()), Limit: limit}
	if backwards {
		read.Direction = event.Backwards
	}
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
	case *streams.ReadReq_Options_StreamOptions_End:
		read.From = event.RevisionEnd
	case *streams.ReadReq_Options_StreamOptions_Revision:
		read.From = min(event.Revision(v.Revision), event.RevisionEnd)
	default:
		return refuse(codes.InvalidArgument, "a read has a place to begin at")
	}
	sent := 0
	var last event.Revision
	err := r.log.ReadStream(r.ctx, read, func(e event.Recorded) error {
		if sent++; sent == 1 && r.positions && !backwards && e.Revision >= read.From+min(event.Revision(limit), page) {
			if err := r.sendFirst(e.Revision); err != nil {
				return err
			}
		}
		last = max(last, e.Revision)
		return r.sendEvent(e)
	})
	if errors.Is(err, event.ErrStreamNotFound) {
		return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
			StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: o.GetStreamIdentifier()},
		}})
	}
	if err != nil || !r.positions {
		return err
	}
	return r.sendStreamPositions(read, sent, last)
}

// page is how many events EventStoreDB reads at a time: it determines where a stream begins
// if none of the first page asked for is left.
const page = 32

func (r *reader) sendFirst(at event.Revision) error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(at)}})
}

// sendStreamPositions returns where the stream ends and, if nothing was there to read
// forwards, which revision comes next, to clients that understand it. last is of what
// was sent: the stream may have been deleted since.
func (r *reader) sendStreamPositions(read event.StreamRead, sent int, last event.Revision) error {
	_, newest, err := r.log.Revisions(r.ctx, read.Stream)
	if err != nil && (sent == 0 || !errors.Is(err, event.ErrStreamNotFound) && !errors.Is(err, event.ErrStreamDeleted)) {
		return err
	}
	last = max(last, newest)
	if sent == 0 && read.Direction == event.Forwards && read.From != last+1 {
		if err := r.sendFirst(last + 1); err != nil {
			return err
		}
	}
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(last)}})
}

func (r *reader) readAll(o *streams.ReadReq_Options_AllOptions, filter filtered, backwards bool) error {
	limit, any := r.limit()
	if !any {
		return nil
	}
	read := event.AllRead{Limit: limit}
	if backwards {
		read.Direction = event.Backwards
	}
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		read.From = event.PositionEnd
	case *streams.ReadReq_Options_AllOptions_Position:
		p, err := positionOf(v.Position)
		if err != nil {
			return err
		}
		read.From = p
	default:
		return refuse(codes.InvalidArgument, "a read has a place to begin at")
	}
	return r.log.ReadAllMatching(r.ctx, read, filter.match, r.sendEvent)
}

// positionOf takes a position of the protocol; all ones is the end.
func positionOf(p *streams.ReadReq_Options_Position) (event.Position, error) {
	if p.GetCommitPosition() == math.MaxUint64 {
		return event.PositionEnd, nil
	}
	if p.GetPreparePosition() > p.GetCommitPosition() || event.Position(p.GetCommitPosition()) > event.PositionEnd {
		return 0, refuse(codes.InvalidArgument, "no such position: the commit position is below 2^63, and the prepare position not beyond it")
	}
	return event.Position(p.GetCommitPosition()), nil
}

func (r *reader) subscribeAll(o *streams.ReadReq_Options_AllOptions, filter filtered) error {
	f := eventlog.Following{Match: filter.match, CheckpointEvery: filter.checkpoint}
	switch v := o.GetAllOption().(type) {
	case *streams.ReadReq_Options_AllOptions_Start:
	case *streams.ReadReq_Options_AllOptions_End:
		last := r.log.Last()
		f.After = &last
	case *streams.ReadReq_Options_AllOptions_Position:
		p, err := positionOf(v.Position)
		if err != nil {
			return err
		}
		if p == event.PositionEnd {
			p = r.log.Last()
		}
		f.After = &p
	default:
		return refuse(codes.InvalidArgument, "a subscription has a place to begin at")
	}
	if err := r.confirm(); err != nil {
		return err
	}
	to := r.follower()
	if filter.match != nil {
		// So that a client that stops here need not look at all of it again.
		to.CaughtUp = func(p event.Position) error {
			if p > 0 && (f.After == nil || p > *f.After) {
				if err := r.sendCheckpoint(p); err != nil {
					return err
				}
			}
			return r.sendCaughtUp()
		}
	}
	return r.followed(r.log.Follow(r.ctx, f, to))
}

func (r *reader) subscribeStream(o *streams.ReadReq_Options_StreamOptions) error {
	stream := string(o.GetStreamIdentifier().GetStreamName())
	var from event.Revision
	switch v := o.GetRevisionOption().(type) {
	case *streams.ReadReq_Options_StreamOptions_Start:
	case *streams.ReadReq_Options_StreamOptions_End:
		_, last, err := r.log.Revisions(r.ctx, stream)
		if err == nil {
			from = last + 1
		} else if !errors.Is(err, event.ErrStreamNotFound) {
			return err
		}
	case *streams.ReadReq_Options_StreamOptions_Revision:
		after, err := revisionOf(v.Revision)
		if err != nil {
			return err
		}
		from = after + 1
	default:
		return refuse(codes.InvalidArgument, "a subscription has a place to begin at")
	}
	if err := r.confirm(); err != nil {
		return err
	}
	return r.followed(r.log.FollowStream(r.ctx, stream, from, r.follower()))
}

// followed makes the end of a subscription an error: there is always one.
func (r *reader) followed(err error) error {
	if err == nil {
		err = context.Cause(r.ctx)
	}
	return err
}

func (r *reader) follower() eventlog.Follower {
	return eventlog.Follower{
		Event:      r.sendEvent,
		Checkpoint: r.sendCheckpoint,
		CaughtUp:   func(event.Position) error { return r.sendCaughtUp() },
		FellBehind: func() error {
			return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_FellBehind_{FellBehind: &streams.ReadResp_FellBehind{}}})
		},
	}
}

func (r *reader) confirm() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()},
	}})
}

func (r *reader) sendCaughtUp() error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
}

func (r *reader) sendCheckpoint(p event.Position) error {
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{
		Checkpoint: &streams.ReadResp_Checkpoint{CommitPosition: uint64(p), PreparePosition: uint64(p)},
	}})
}

func (r *reader) sendEvent(e event.Recorded) error {
	message, err := r.readEvent(e)
	if err != nil {
		return err
	}
	return r.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: message}})
}

func (r *reader) readEvent(e event.Recorded) (*streams.ReadResp_ReadEvent, error) {
	recorded, err := recordedToProto(e, r.structured)
	if err != nil {
		return nil, err
	}
	message := &streams.ReadResp_ReadEvent{
		Event:    recorded,
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(e.Position)},
	}
	if !r.options.GetResolveLinks() || e.Type != layout.LinkType {
		return message, nil
	}
	message.Link, message.Event = recorded, nil
	target, found, err := r.resolve(e)
	if err != nil || !found {
		return message, err
	}
	message.Event, err = recordedToProto(target, r.structured)
	return message, err
}
