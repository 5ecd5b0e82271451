package esdbserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/domain/event"
)

// The pattern library's clock ends by itself, a moment after the last match.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

const patience = 20 * time.Second

// fixture is a log, its server, and a raw connection to it.
type fixture struct {
	t       *testing.T
	ctx     context.Context
	log     *eventlog.Log
	server  *esdbserver.Server
	conn    *grpc.ClientConn
	streams streams.StreamsClient
}

func newFixture(t *testing.T, change ...func(*eventlog.Options, *esdbserver.Options)) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	f := &fixture{t: t, ctx: ctx}
	lo := eventlog.Options{Dir: t.TempDir()}
	so := esdbserver.Options{Addr: "127.0.0.1:0"}
	for _, c := range change {
		c(&lo, &so)
	}
	var err error
	if f.log, err = eventlog.Open(lo); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.log.Close(); err != nil {
			t.Error(err)
		}
	})
	f.serve(so)
	return f
}

// serve starts a server of the log and connects to it.
func (f *fixture) serve(so esdbserver.Options) {
	f.t.Helper()
	so.Log = f.log
	server, err := esdbserver.New(so)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server = server
	done := make(chan error, 1)
	go func() { done <- server.Serve() }()
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(server.Close(ctx), <-done); err != nil {
			f.t.Error(err)
		}
	})
	f.conn = f.dial(grpc.WithTransportCredentials(insecure.NewCredentials()))
	f.streams = streams.NewStreamsClient(f.conn)
}

func (f *fixture) dial(options ...grpc.DialOption) *grpc.ClientConn {
	f.t.Helper()
	conn, err := grpc.NewClient(f.server.Addr(), options...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// fill appends one event of each type to a stream, in process.
func (f *fixture) fill(stream string, types ...string) {
	f.t.Helper()
	for _, typ := range types {
		e := event.New{ID: uuid.NewString(), Type: typ, Data: []byte(`{}`)}
		if _, err := f.log.Append(f.ctx, stream, event.Any(), []event.New{e}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func structured(id uuid.UUID) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
}

func meta(typ, content string) map[string]string {
	return map[string]string{"type": typ, "content-type": content}
}

func name(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

// append sends the messages of one append and returns its reply.
func (f *fixture) append(messages ...*streams.AppendReq) (*streams.AppendResp, error) {
	f.t.Helper()
	call, err := f.streams.Append(f.ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := call.Send(m); err != nil && !errors.Is(err, io.EOF) { // io.EOF: the reply is there already
			return nil, err
		}
	}
	return call.CloseAndRecv()
}

func optionsAny(stream string) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: &streams.AppendReq_Options{
		StreamIdentifier: name(stream), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}},
	}}}
}

func message(typ, content string, data []byte) *streams.AppendReq {
	return &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
		Id: structured(uuid.New()), Metadata: meta(typ, content), Data: data,
	}}}
}

// short writes what a read replied, one word a message.
func (f *fixture) read(o *streams.ReadReq_Options) ([]string, error) {
	f.t.Helper()
	call, err := f.streams.Read(f.ctx, &streams.ReadReq{Options: o})
	if err != nil {
		return nil, err
	}
	var got []string
	for {
		reply, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, word(reply))
	}
}

func word(reply *streams.ReadResp) string {
	switch c := reply.GetContent().(type) {
	case *streams.ReadResp_Event:
		if c.Event.GetEvent() == nil {
			return "link to nothing"
		}
		w := fmt.Sprintf("%s@%d:%s", c.Event.GetEvent().GetStreamIdentifier().GetStreamName(), c.Event.GetEvent().GetStreamRevision(), c.Event.GetEvent().GetMetadata()["type"])
		if l := c.Event.GetLink(); l != nil {
			w += fmt.Sprintf(" by %s@%d", l.GetStreamIdentifier().GetStreamName(), l.GetStreamRevision())
		}
		return w
	case *streams.ReadResp_Confirmation:
		return "confirmed"
	case *streams.ReadResp_CaughtUp_:
		return "caught up"
	case *streams.ReadResp_FellBehind_:
		return "fell behind"
	case *streams.ReadResp_Checkpoint_:
		return fmt.Sprintf("checkpoint %d", c.Checkpoint.GetCommitPosition())
	case *streams.ReadResp_StreamNotFound_:
		return "not found"
	case *streams.ReadResp_FirstStreamPosition:
		return fmt.Sprintf("first %d", c.FirstStreamPosition)
	case *streams.ReadResp_LastStreamPosition:
		return fmt.Sprintf("last %d", c.LastStreamPosition)
	}
	return fmt.Sprintf("%T", reply.GetContent())
}

// take receives n replies of a subscription.
func take(t *testing.T, call streams.Streams_ReadClient, n int) []string {
	t.Helper()
	var got []string
	for range n {
		reply, err := call.Recv()
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, word(reply))
	}
	return got
}

// fillLarge appends an event of so many bytes.
func (f *fixture) fillLarge(stream string, size int) {
	f.t.Helper()
	e := event.New{ID: uuid.NewString(), Type: "A", Data: make([]byte, size), Binary: true}
	if _, err := f.log.Append(f.ctx, stream, event.Any(), []event.New{e}); err != nil {
		f.t.Fatal(err)
	}
}
