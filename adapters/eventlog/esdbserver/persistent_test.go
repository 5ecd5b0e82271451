package esdbserver_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

func TestAGroupGivesEachEventUntilItIsAcknowledged(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(3)...)
	f.create(onStream("s", standard()))
	c := f.connect("s", 2)
	first := c.want("s@0", "s@1")
	c.quiet() // two at a time
	c.ack(first[0])
	third := c.want("s@2")
	f.fill("s", "A")
	c.quiet()
	c.ack(first[1], third[0])
	c.ack(c.want("s@3")...)
	f.eventually("all is done with", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetLastCheckpointedEventPosition() == "3" && i.GetTotalInFlightMessages() == 0
	})
	checkpoints := f.stored("$persistentsubscription-s::g-checkpoint")
	if e := checkpoints[len(checkpoints)-1]; e.Type != "$SubscriptionCheckpoint" || string(e.Data) != `"3"` {
		t.Errorf("checkpoint %s %s", e.Type, e.Data)
	}
	if e := f.stored("$$$persistentsubscription-s::g-checkpoint")[0]; !strings.HasPrefix(string(e.Data), `{"$maxCount":2,`) {
		t.Errorf("its metadata: %s", e.Data)
	}
}

func TestNacks(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(4)...)
	f.create(onStream("s", standard()))
	c := f.connect("s", 4)
	got := c.want(words("s", 0, 4)...)
	c.nack(subscriptions.ReadReq_Nack_Retry, got[1])
	c.want("s@1 again 1")
	c.nack(subscriptions.ReadReq_Nack_Unknown, got[1])
	again := c.want("s@1 again 2")
	c.nack(subscriptions.ReadReq_Nack_Skip, got[0])
	c.nack(subscriptions.ReadReq_Nack_Park, got[2], got[3])
	c.ack(again...)
	f.eventually("all is done with", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetLastCheckpointedEventPosition() == "3" && i.GetParkedMessageCount() == 2
	})
	parked := f.stored("$persistentsubscription-s::g-parked")
	if len(parked) != 2 || parked[0].Type != "$>" || string(parked[0].Data) != "2@s" || !strings.Contains(string(parked[0].Metadata), `"reason":"Client explicitly NAK'ed message.\nbecause","subscriptionEventNumber":2}`) {
		t.Errorf("parked %v %s", parked, parked[0].Metadata)
	}
	if err := f.replay("s", 1); err != nil {
		t.Fatal(err)
	}
	parkedAgain := "s@2 by $persistentsubscription-s::g-parked@0"
	one := c.want(parkedAgain)
	c.quiet()
	c.ack(one...)
	if err := f.replay("s", 0); err != nil {
		t.Fatal(err)
	}
	other := c.want("s@3 by $persistentsubscription-s::g-parked@1")
	c.nack(subscriptions.ReadReq_Nack_Park, other...)
	f.eventually("parked again", "s", func(i *subscriptions.SubscriptionInfo) bool { return i.GetParkedMessageCount() == 1 })
	if parked := f.stored("$persistentsubscription-s::g-parked"); string(parked[len(parked)-1].Data) != "3@s" {
		t.Errorf("parked %s", parked[len(parked)-1].Data)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		described := f.stored("$$$persistentsubscription-s::g-parked")
		if len(described) > 0 && strings.HasPrefix(string(described[len(described)-1].Data), `{"$tb":2,`) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the parked stream is not truncated: %v", described)
		}
	}
	if err := f.replay("s", 0); err != nil {
		t.Fatal(err)
	}
	_, w := c.next(1)
	other2 := f.connect("s", 1)
	// Stop gives the rest to others.
	c.nack(subscriptions.ReadReq_Nack_Stop)
	if err := <-c.ended; status.Code(err) != codes.Canceled {
		t.Errorf("stopped with %v", err)
	}
	other2.want(w[0] + " again 1")
}

func TestMessagesTimeOutAndAreParkedInTheEnd(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(2)...)
	f.create(onStream("s", standard(timeout(30*time.Millisecond), func(s *groupSettings) { s.MaxRetryCount = 2 })))
	c := f.connect("s", 1)
	c.ack(c.want("s@0")...)
	c.want("s@1", "s@1 again 1", "s@1 again 2")
	f.eventually("it is parked", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetParkedMessageCount() == 1 && i.GetLastCheckpointedEventPosition() == "1"
	})
	if parked := f.stored("$persistentsubscription-s::g-parked"); !strings.Contains(string(parked[0].Metadata), `"reason":"Reached retry count of 2"`) {
		t.Errorf("parked: %s", parked[0].Metadata)
	}
}

func TestWhatAConsumerLeavesGoesToOthersInOrder(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard()))
	a, b := f.connect("s", 3), f.connect("s", 10)
	f.fill("s", types(6)...)
	a.want("s@0", "s@2", "s@4")
	b.ack(b.want("s@1", "s@3", "s@5")...)
	a.leave(f, "s", 1)
	b.want("s@0 again 1", "s@2 again 1", "s@4 again 1")
}

func TestRestartBringsBackWhatWasNotAcknowledged(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(5)...)
	f.create(onStream("s", standard(func(s *groupSettings) { s.MinCheckpointCount, s.MaxCheckpointCount = 100, 1000 })))
	c := f.connect("s", 5)
	got := c.want(words("s", 0, 5)...)
	c.nack(subscriptions.ReadReq_Nack_Park, got[0])
	c.ack(got[1], got[3])
	f.eventually("taken", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetTotalInFlightMessages() == 2 && i.GetParkedMessageCount() == 1
	})
	f.restart()
	if i := f.info("s"); i.GetLastCheckpointedEventPosition() != "1" || i.GetParkedMessageCount() != 1 {
		t.Errorf("after the restart: %v", i)
	}
	c = f.connect("s", 10)
	c.ack(c.want("s@2", "s@3", "s@4")...)
	if err := f.replay("s", 0); err != nil {
		t.Fatal(err)
	}
	c.want("s@0 by $persistentsubscription-s::g-parked@0")
	f.fill("s", "A")
	c.want("s@5")
}

func TestAllWithAFilter(t *testing.T) {
	f := newFixture(t)
	f.fill("x-1", "A", "B")
	f.fill("y-1", "A", "B")
	o := onAll(standard())
	o.GetAll().FilterOption = &subscriptions.CreateReq_AllOptions_Filter{Filter: &subscriptions.CreateReq_AllOptions_FilterOptions{
		Filter: &subscriptions.CreateReq_AllOptions_FilterOptions_EventType{EventType: &subscriptions.CreateReq_AllOptions_FilterOptions_Expression{Regex: "^(?!A)[^$]"}},
	}}
	f.create(o)
	c := f.connect(persistent.All, 10)
	c.ack(c.want("x-1@1", "y-1@1")...)
	f.eventually("a checkpoint", persistent.All, func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetLastCheckpointedEventPosition() >= "C:4/P:4" && i.GetLastKnownEventPosition() == "C:4/P:4"
	})
	f.restart()
	c = f.connect(persistent.All, 10)
	f.fill("x-1", "A", "B")
	c.ack(c.want("x-1@3")...)
	c.quiet()
}

// A group on $all without a filter sees the system's streams, but not what groups on $all
// write, so that an idle store stays idle.
func TestAnIdleGroupOnAllWritesNothing(t *testing.T) {
	f := newFixture(t)
	f.create(onAll(standard(func(s *groupSettings) {
		s.CheckpointAfter = &subscriptions.CreateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: 1}
	})))
	c := f.connect(persistent.All, 10)
	f.fill("s", "A")
	seen := map[string]bool{}
	for !seen["s@0"] {
		e, w := c.next(1)
		seen[w[0]] = true
		c.ack(e...)
	}
	// The metadata of its checkpoints is seen, once.
	for e := range receiveFor(c, 200*time.Millisecond) {
		c.ack(e)
	}
	at := f.log.Last()
	for e := range receiveFor(c, 200*time.Millisecond) {
		t.Errorf("%s came", deliveryWord(e))
	}
	if f.log.Last() != at {
		t.Errorf("an idle store wrote %d events", f.log.Last()-at)
	}
}

// receiveFor are the events that come within a time.
func receiveFor(c *consumer, d time.Duration) func(func(*subscriptions.ReadResp_ReadEvent) bool) {
	return func(yield func(*subscriptions.ReadResp_ReadEvent) bool) {
		for end := time.After(d); ; {
			select {
			case e, ok := <-c.got:
				if !ok || !yield(e) {
					return
				}
			case <-end:
				return
			}
		}
	}
}

func TestGroupErrors(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard(func(s *groupSettings) { s.MaxSubscriberCount = 1 })))
	f.connect("s", 1)
	create := func(o *createOptions) func(...grpc.CallOption) error {
		return func(co ...grpc.CallOption) error {
			_, err := f.groups().Create(f.ctx, &subscriptions.CreateReq{Options: o}, co...)
			return err
		}
	}
	read := func(o *subscriptions.ReadReq_Options) func(...grpc.CallOption) error {
		return func(co ...grpc.CallOption) error {
			call, err := f.groups().Read(f.ctx, co...)
			if err != nil {
				return err
			}
			if err := call.Send(&subscriptions.ReadReq{Content: &subscriptions.ReadReq_Options_{Options: o}}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = call.Recv()
			return err
		}
	}
	wrong := func(change func(*groupSettings)) *createOptions { return onStream("t", standard(change)) }
	failed := "persistent-subscription-failed"
	tests := map[string]struct {
		call      func(...grpc.CallOption) error
		code      codes.Code
		exception string
		reason    string
	}{
		"exists":   {create(onStream("s", standard())), codes.AlreadyExists, "persistent-subscription-exists", ""},
		"strategy": {create(wrong(strategy("Best"))), codes.Internal, failed, "Consumer strategy Best does not exist."},
		"start": {create(&createOptions{GroupName: "g", Settings: standard(), StreamOption: &subscriptions.CreateReq_Options_All{All: &subscriptions.CreateReq_AllOptions{
			AllOption: &subscriptions.CreateReq_AllOptions_Position{Position: &subscriptions.CreateReq_Position{CommitPosition: 10_000, PreparePosition: 10_000}},
		}}}), codes.Internal, failed, "Invalid Start From position: commit position must be less than or equal to the last commit position in the transaction file."},
		"no batch":       {create(wrong(func(s *groupSettings) { s.ReadBatchSize = 0 })), codes.Internal, failed, "The read batch size is not from 1 to 100000."},
		"negative":       {create(wrong(func(s *groupSettings) { s.MaxRetryCount = -1 })), codes.Internal, failed, "The retry count is negative."},
		"no stream":      {create(onStream("", standard())), codes.Internal, failed, "Bad stream name."},
		"bad stream":     {create(onStream("s\x00", standard())), codes.Internal, failed, "Bad stream name."},
		"no ASCII":       {read(groupOf("città", 1)), codes.NotFound, "persistent-subscription-does-not-exist", ""},
		"$all as stream": {create(onStream("$all", standard())), codes.Internal, failed, "$all is asked for by its own option."},
		"no start":       {create(&createOptions{GroupName: "g", Settings: standard(), StreamOption: &subscriptions.CreateReq_Options_Stream{Stream: &subscriptions.CreateReq_StreamOptions{StreamIdentifier: name("t")}}}), codes.InvalidArgument, "", ""},
		"too many":       {read(groupOf("s", 1)), codes.FailedPrecondition, "maximum-subscribers-reached", ""},
		"no group":       {read(groupOf("t", 1)), codes.NotFound, "persistent-subscription-does-not-exist", ""},
		"no buffer":      {read(groupOf("s", 0)), codes.InvalidArgument, "", ""},
		"delete of none": {func(co ...grpc.CallOption) error {
			_, err := f.groups().Delete(f.ctx, &subscriptions.DeleteReq{Options: &subscriptions.DeleteReq_Options{GroupName: "g", StreamOption: &subscriptions.DeleteReq_Options_All{All: &shared.Empty{}}}}, co...)
			return err
		}, codes.NotFound, "persistent-subscription-does-not-exist", ""},
		"list of none": {func(co ...grpc.CallOption) error {
			_, err := f.groups().List(f.ctx, &subscriptions.ListReq{Options: &subscriptions.ListReq_Options{ListOption: &subscriptions.ListReq_Options_ListForStream{ListForStream: &subscriptions.ListReq_StreamOption{StreamOption: &subscriptions.ListReq_StreamOption_All{All: &shared.Empty{}}}}}}, co...)
			return err
		}, codes.NotFound, "persistent-subscription-does-not-exist", ""},
		"replay to before the start": {func(...grpc.CallOption) error { return f.replay("s", -1) }, codes.Internal, "", ""},
	}
	for what, test := range tests {
		var trailer metadata.MD
		err := test.call(grpc.Trailer(&trailer))
		got := append(trailer.Get("exception"), "")[0]
		if status.Code(err) != test.code || got != test.exception || append(trailer.Get("reason"), "")[0] != test.reason {
			t.Errorf("%s: %v, %v", what, err, trailer)
		}
		if test.exception != "" && (len(trailer.Get("stream-name")) != 1 || len(trailer.Get("group-name")) != 1) {
			t.Errorf("%s: %v", what, trailer)
		}
	}
}

// Two events with one id cannot be told apart by an acknowledgement.
func TestEventsOfOneIdComeOneAfterTheOther(t *testing.T) {
	f := newFixture(t)
	e := event.New{ID: uuid.NewString(), Type: "A", Data: []byte(`{}`)}
	for _, stream := range []string{"x", "y"} {
		if _, err := f.log.Append(f.ctx, stream, event.NoStream(), []event.New{e}); err != nil {
			t.Fatal(err)
		}
	}
	f.fill("z", "A")
	f.create(onAll(standard(func(s *groupSettings) { s.MinCheckpointCount, s.MaxCheckpointCount = 1000, 1000 })))
	c := f.connect(persistent.All, 10)
	got := c.want("x@0", "z@0", "$$$persistentSubscriptionConfig@0", "$persistentSubscriptionConfig@0")
	c.ack(got[0])
	c.want("y@0")
}
