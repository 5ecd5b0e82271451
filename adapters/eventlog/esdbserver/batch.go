package esdbserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"recapito/adapters/eventlog"
	"recapito/domain/event"
)

// Limits of one BatchAppend call.
const (
	batchInFlight   = 512              // appends being written; more wait in the transport
	batchUnfinished = 64               // appends begun whose last part has not come
	batchTimeout    = 30 * time.Second // of an append that names no deadline, or a later one
)

// BatchAppend takes many appends over one call, each in one part or several, and returns
// each by its correlation id as it is done, in no order.
func (s *streamsService) BatchAppend(call streams.Streams_BatchAppendServer) error {
	ctx, cancel := context.WithCancel(call.Context())
	defer cancel()
	b := &batch{
		service: s, ctx: ctx,
		slots:   make(chan struct{}, batchInFlight),
		replies: make(chan *streams.BatchAppendResp),
		idle:    make(chan func()),
		begun:   map[uuid.UUID]*pending{},
	}
	sent := make(chan error, 1)
	go func() {
		var failed error
		for reply := range b.replies { // goes on after a failure, so that none waits
			if failed == nil {
				if failed = call.Send(reply); failed != nil {
					cancel()
				}
			}
		}
		sent <- failed
	}()
	received := make(chan error, 1)
	go func() { received <- b.receive(call) }()
	var err error
	select {
	case err = <-received: // Recv itself ends with the call
	case <-s.stopping.Done():
		// What was taken still gets its reply. The receiver ends when this call does, and
		// by then takes nothing more.
		err = refuse(codes.Unavailable, "Server Is Not Ready")
	}
	b.end()
	b.work.Wait()
	close(b.replies)
	if failed := <-sent; err == nil {
		err = failed
	}
	return replied(call, s.logger, err)
}

type batch struct {
	service *streamsService
	ctx     context.Context
	slots   chan struct{}
	replies chan *streams.BatchAppendResp
	begun   map[uuid.UUID]*pending // of the receiver alone

	mu     sync.Mutex // guards closed, and idle and work against it
	closed bool
	idle   chan func() // to a worker that has nothing to do
	work   sync.WaitGroup
}

// pending is an append that was begun.
type pending struct {
	id       *shared.UUID
	options  *streams.BatchAppendReq_Options
	expected event.Expected
	deadline time.Time
	events   []event.New
	size     int
}

// start runs a piece of work that may reply, unless the call is ending. A worker that is
// there already has a stack that is large enough: to grow a new one cost a tenth of an
// append.
func (b *batch) start(work func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	select {
	case b.idle <- work:
	default:
		b.work.Go(func() {
			work()
			for next := range b.idle {
				next()
			}
		})
	}
}

// end lets the workers go once they are done.
func (b *batch) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	close(b.idle)
}

func (b *batch) receive(call streams.Streams_BatchAppendServer) error {
	for {
		request, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := b.take(request); err != nil {
			return err
		}
	}
}

// take adds a part to its append. Only what makes the call as such meaningless is an error.
func (b *batch) take(request *streams.BatchAppendReq) error {
	id, err := idFromProto(request.GetCorrelationId())
	if err != nil {
		return err
	}
	p := b.begun[id]
	if p == nil {
		if request.GetOptions() == nil {
			return nil // of an append that was refused already
		}
		if len(b.begun) >= batchUnfinished {
			return refuse(codes.ResourceExhausted, fmt.Sprintf("more than %d appends are begun and not finished", batchUnfinished))
		}
		p = &pending{id: request.GetCorrelationId(), options: request.GetOptions(), deadline: b.service.deadline(request.GetOptions())}
		if p.expected, err = batchExpected(p.options); err != nil {
			b.refuse(p, err)
			return nil
		}
		b.begun[id] = p
	}
	for _, message := range request.GetProposedMessages() {
		e, err := newEvent(message)
		if err == nil {
			if p.size += sizeOf(e); p.size > eventlog.MaxAppendBytes || len(p.events) == eventlog.MaxAppendCount {
				err = event.ErrTooLarge
			}
		}
		if err != nil {
			delete(b.begun, id)
			b.refuse(p, err)
			return nil
		}
		p.events = append(p.events, e)
	}
	if !request.GetIsFinal() {
		return nil
	}
	delete(b.begun, id)
	select {
	case b.slots <- struct{}{}:
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	b.start(func() {
		defer func() { <-b.slots }()
		b.append(p)
	})
	return nil
}

// refuse replies without writing.
func (b *batch) refuse(p *pending, err error) {
	b.start(func() { b.reply(p, nil, err) })
}

func (b *batch) append(p *pending) {
	if !p.deadline.After(b.service.now()) {
		b.reply(p, nil, context.DeadlineExceeded) // nothing was written
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, p.deadline.Sub(b.service.now()))
	defer cancel()
	stream := string(p.options.GetStreamIdentifier().GetStreamName())
	if err := b.service.mayWrite(ctx, stream); err != nil {
		b.reply(p, nil, err)
		return
	}
	appended, err := b.service.log.Append(ctx, stream, p.expected, p.events)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, event.ErrWrongVersion) {
		err = context.DeadlineExceeded
	}
	b.reply(p, &appended, err)
}

func (b *batch) reply(p *pending, appended *event.Appended, err error) {
	r := &streams.BatchAppendResp{CorrelationId: p.id, StreamIdentifier: p.options.GetStreamIdentifier()}
	switch v := p.options.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_StreamPosition:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_StreamPosition{StreamPosition: v.StreamPosition}
	case *streams.BatchAppendReq_Options_NoStream:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_NoStream{NoStream: v.NoStream}
	case *streams.BatchAppendReq_Options_Any:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_Any{Any: v.Any}
	case *streams.BatchAppendReq_Options_StreamExists:
		r.ExpectedStreamPosition = &streams.BatchAppendResp_StreamExists{StreamExists: v.StreamExists}
	}
	if err != nil {
		r.Result = &streams.BatchAppendResp_Error{Error: batchError(err)}
	} else {
		r.Result = &streams.BatchAppendResp_Success_{Success: &streams.BatchAppendResp_Success{
			CurrentRevisionOption: &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(appended.Revision)},
			PositionOption: &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{
				CommitPosition: uint64(appended.Position), PreparePosition: uint64(appended.Position),
			}},
		}}
	}
	b.replies <- r // the sender takes until all work is done
}

// batchError is an error with the details by which clients recognise it.
func batchError(err error) *rpcstatus.Status {
	var wrong *event.WrongVersion
	var taken *event.Refusal
	var deleted *event.StreamDeleted
	name, code, details := "Unknown", codes.Unknown, proto.Message(&shared.Unknown{})
	switch {
	case errors.As(err, &wrong):
		name, code, details = "WrongExpectedVersion", codes.AlreadyExists, batchWrongVersion(wrong)
	case errors.As(err, &deleted):
		name, code, details = "StreamDeleted", codes.NotFound, &shared.StreamDeleted{StreamIdentifier: streamToProto(deleted.Stream)}
	case errors.Is(err, event.ErrTooLarge):
		name, code, details = "MaximumAppendSizeExceeded", codes.InvalidArgument, &shared.MaximumAppendSizeExceeded{MaxAppendSize: eventlog.MaxAppendBytes}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, event.ErrUnknownOutcome):
		name, code, details = "Timeout", codes.DeadlineExceeded, &shared.Timeout{}
	case errors.As(err, &taken):
		name, code, details = readOnly+taken.Reason, codes.FailedPrecondition, &emptypb.Empty{}
	case errors.Is(err, event.ErrUnavailable):
		name, code, details = "Server Is Not Ready", codes.Unavailable, &emptypb.Empty{}
	default:
		if r := refusalOf(err); r.status.Code() == codes.InvalidArgument {
			name, code, details = "BadRequest", codes.InvalidArgument, &shared.BadRequest{Message: r.status.Message()}
		}
	}
	s := &rpcstatus.Status{Code: int32(code), Message: name}
	if packed, err := anypb.New(details); err == nil {
		s.Details = []*anypb.Any{packed}
	}
	return s
}

func batchWrongVersion(e *event.WrongVersion) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{}
	if e.NoStream {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}
	} else {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(e.Actual)}
	}
	exact, isExact := e.Expected.Exactly()
	switch {
	case isExact:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(exact)}
	case e.Expected.IsNoStream():
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	case e.Expected.IsStreamExists():
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	}
	return w
}

func batchExpected(o *streams.BatchAppendReq_Options) (event.Expected, error) {
	switch v := o.GetExpectedStreamPosition().(type) {
	case *streams.BatchAppendReq_Options_Any:
		return event.Any(), nil
	case *streams.BatchAppendReq_Options_NoStream:
		return event.NoStream(), nil
	case *streams.BatchAppendReq_Options_StreamExists:
		return event.StreamExists(), nil
	case *streams.BatchAppendReq_Options_StreamPosition:
		r, err := revisionOf(v.StreamPosition)
		return event.Exact(r), err
	}
	return event.Expected{}, refuse(codes.InvalidArgument, "no expected revision")
}

// deadline is when an append is given up: what was asked for, at most batchTimeout away.
func (s *streamsService) deadline(o *streams.BatchAppendReq_Options) time.Time {
	now := s.now()
	latest := now.Add(batchTimeout)
	asked := latest
	switch v := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		if d := v.Deadline.AsDuration(); d < batchTimeout {
			asked = now.Add(d)
		}
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		asked = v.Deadline_21_10_0.AsTime()
	}
	if asked.After(latest) {
		return latest
	}
	return asked
}
