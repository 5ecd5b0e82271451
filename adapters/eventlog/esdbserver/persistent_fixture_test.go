package esdbserver_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/go-cmp/cmp"

	"recapito/adapters/eventlog/esdbserver"
	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

type (
	createOptions = subscriptions.CreateReq_Options
	groupSettings = subscriptions.CreateReq_Settings
	ack           = subscriptions.ReadReq_Ack
	nack          = subscriptions.ReadReq_Nack
)

// groups is a fixture's service.
func (f *fixture) groups() subscriptions.PersistentSubscriptionsClient {
	return subscriptions.NewPersistentSubscriptionsClient(f.conn)
}

// standard are a client's usual settings, with a checkpoint after every event.
func standard(change ...func(*groupSettings)) *groupSettings {
	s := &groupSettings{
		MaxRetryCount: 10, MinCheckpointCount: 1, MaxCheckpointCount: 1, LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500,
		ConsumerStrategy: persistent.RoundRobin,
		MessageTimeout:   &subscriptions.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 30_000},
		CheckpointAfter:  &subscriptions.CreateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: 2_000},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

func strategy(name string) func(*groupSettings) {
	return func(s *groupSettings) { s.ConsumerStrategy = name }
}

func timeout(d time.Duration) func(*groupSettings) {
	return func(s *groupSettings) {
		s.MessageTimeout = &subscriptions.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: int32(d.Milliseconds())}
	}
}

func onStream(stream string, s *groupSettings) *createOptions {
	return &createOptions{GroupName: "g", Settings: s, StreamOption: &subscriptions.CreateReq_Options_Stream{Stream: &subscriptions.CreateReq_StreamOptions{
		StreamIdentifier: name(stream), RevisionOption: &subscriptions.CreateReq_StreamOptions_Start{Start: &shared.Empty{}},
	}}}
}

func onAll(s *groupSettings) *createOptions {
	return &createOptions{GroupName: "g", Settings: s, StreamOption: &subscriptions.CreateReq_Options_All{All: &subscriptions.CreateReq_AllOptions{
		AllOption: &subscriptions.CreateReq_AllOptions_Start{Start: &shared.Empty{}},
	}}}
}

func (f *fixture) create(o *createOptions) {
	f.t.Helper()
	if _, err := f.groups().Create(f.ctx, &subscriptions.CreateReq{Options: o}); err != nil {
		f.t.Fatal(err)
	}
}

// consumer is one connection to the group g.
type consumer struct {
	t      *testing.T
	call   subscriptions.PersistentSubscriptions_ReadClient
	cancel context.CancelFunc
	got    chan *subscriptions.ReadResp_ReadEvent
	ended  chan error // why it ended
}

func groupOf(stream string, buffer int) *subscriptions.ReadReq_Options {
	o := &subscriptions.ReadReq_Options{GroupName: "g", BufferSize: int32(buffer), StreamOption: &subscriptions.ReadReq_Options_StreamIdentifier{StreamIdentifier: name(stream)}}
	if stream == persistent.All {
		o.StreamOption = &subscriptions.ReadReq_Options_All{All: &shared.Empty{}}
	}
	return o
}

// connect returns a consumer that was confirmed.
func (f *fixture) connect(stream string, buffer int) *consumer {
	f.t.Helper()
	c, err := f.tryConnect(groupOf(stream, buffer))
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) tryConnect(o *subscriptions.ReadReq_Options) (*consumer, error) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	f.t.Cleanup(cancel)
	call, err := f.groups().Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := call.Send(&subscriptions.ReadReq{Content: &subscriptions.ReadReq_Options_{Options: o}}); err != nil {
		return nil, err
	}
	first, err := call.Recv()
	if err != nil {
		return nil, err
	}
	if id := first.GetSubscriptionConfirmation().GetSubscriptionId(); !strings.HasSuffix(id, "::g") {
		f.t.Fatalf("confirmed %q", id)
	}
	c := &consumer{t: f.t, call: call, cancel: cancel, got: make(chan *subscriptions.ReadResp_ReadEvent, 10_000), ended: make(chan error, 1)}
	go func() {
		defer close(c.got)
		for {
			reply, err := call.Recv()
			if err != nil {
				c.ended <- err
				return
			}
			c.got <- reply.GetEvent()
		}
	}()
	return c, nil
}

// next takes n events and returns them as text.
func (c *consumer) next(n int) ([]*subscriptions.ReadResp_ReadEvent, []string) {
	c.t.Helper()
	var events []*subscriptions.ReadResp_ReadEvent
	var words []string
	deadline := time.After(patience)
	for range n {
		select {
		case e, ok := <-c.got:
			if !ok {
				c.t.Fatalf("after %q it ended: %v", words, <-c.ended)
			}
			events, words = append(events, e), append(words, deliveryWord(e))
		case <-deadline:
			c.t.Fatalf("after %q nothing more came", words)
		}
	}
	return events, words
}

func deliveryWord(e *subscriptions.ReadResp_ReadEvent) string {
	w := "nothing"
	if r := e.GetEvent(); r != nil {
		w = fmt.Sprintf("%s@%d", r.GetStreamIdentifier().GetStreamName(), r.GetStreamRevision())
	}
	if l := e.GetLink(); l != nil {
		w += fmt.Sprintf(" by %s@%d", l.GetStreamIdentifier().GetStreamName(), l.GetStreamRevision())
	}
	if n := e.GetRetryCount(); n > 0 {
		w += fmt.Sprintf(" again %d", n)
	}
	return w
}

// want takes exactly these.
func (c *consumer) want(words ...string) []*subscriptions.ReadResp_ReadEvent {
	c.t.Helper()
	events, got := c.next(len(words))
	if diff := cmp.Diff(words, got); diff != "" {
		c.t.Fatalf("(-want +got):\n%s", diff)
	}
	return events
}

// quiet checks that nothing comes for a while.
func (c *consumer) quiet() {
	c.t.Helper()
	select {
	case e, ok := <-c.got:
		if ok {
			c.t.Fatalf("%s came", deliveryWord(e))
		}
		c.t.Fatalf("it ended: %v", <-c.ended)
	case <-time.After(100 * time.Millisecond):
	}
}

func ids(events []*subscriptions.ReadResp_ReadEvent) []*shared.UUID {
	all := make([]*shared.UUID, len(events))
	for i, e := range events {
		all[i] = e.GetEvent().GetId()
		if e.GetLink() != nil {
			all[i] = e.GetLink().GetId()
		}
	}
	return all
}

func (c *consumer) ack(events ...*subscriptions.ReadResp_ReadEvent) {
	c.t.Helper()
	if err := c.call.Send(&subscriptions.ReadReq{Content: &subscriptions.ReadReq_Ack_{Ack: &ack{Ids: ids(events)}}}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *consumer) nack(action subscriptions.ReadReq_Nack_Action, events ...*subscriptions.ReadResp_ReadEvent) {
	c.t.Helper()
	if err := c.call.Send(&subscriptions.ReadReq{Content: &subscriptions.ReadReq_Nack_{Nack: &nack{Ids: ids(events), Action: action, Reason: "because"}}}); err != nil {
		c.t.Fatal(err)
	}
}

// leave ends the connection and waits until the group knows.
func (c *consumer) leave(f *fixture, stream string, left int) {
	c.t.Helper()
	c.cancel()
	f.eventually("the consumer is gone", stream, func(i *subscriptions.SubscriptionInfo) bool { return len(i.GetConnections()) == left })
}

func (f *fixture) info(stream string) *subscriptions.SubscriptionInfo {
	f.t.Helper()
	o := &subscriptions.GetInfoReq_Options{GroupName: "g", StreamOption: &subscriptions.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: name(stream)}}
	if stream == persistent.All {
		o.StreamOption = &subscriptions.GetInfoReq_Options_All{All: &shared.Empty{}}
	}
	reply, err := f.groups().GetInfo(f.ctx, &subscriptions.GetInfoReq{Options: o})
	if err != nil {
		f.t.Fatal(err)
	}
	return reply.GetSubscriptionInfo()
}

func (f *fixture) eventually(what, stream string, holds func(*subscriptions.SubscriptionInfo) bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		i := f.info(stream)
		if holds(i) {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%s: not so: %v", what, i)
		}
	}
}

// restart closes the server, and serves the same log anew.
func (f *fixture) restart() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.server.Close(ctx); err != nil {
		f.t.Fatal(err)
	}
	_ = f.conn.Close()
	f.serve(esdbserver.Options{Addr: "127.0.0.1:0"})
}

func (f *fixture) replay(stream string, stopAt int64) error {
	o := &subscriptions.ReplayParkedReq_Options{GroupName: "g", StreamOption: &subscriptions.ReplayParkedReq_Options_StreamIdentifier{StreamIdentifier: name(stream)},
		StopAtOption: &subscriptions.ReplayParkedReq_Options_NoLimit{NoLimit: &shared.Empty{}}}
	if stopAt != 0 {
		o.StopAtOption = &subscriptions.ReplayParkedReq_Options_StopAt{StopAt: stopAt}
	}
	_, err := f.groups().ReplayParked(f.ctx, &subscriptions.ReplayParkedReq{Options: o})
	return err
}

// stored reads a stream's data.
func (f *fixture) stored(stream string) []event.Recorded {
	f.t.Helper()
	var all []event.Recorded
	err := f.log.ReadStream(f.ctx, event.StreamRead{Stream: stream}, func(e event.Recorded) error {
		all = append(all, e)
		return nil
	})
	if err != nil && !errors.Is(err, event.ErrStreamNotFound) {
		f.t.Fatal(err)
	}
	return all
}

func words(stream string, from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("%s@%d", stream, i))
	}
	return all
}

func types(n int) []string { return slices.Repeat([]string{"A"}, n) }
