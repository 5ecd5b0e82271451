package esdbserver_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"recapito/adapters/eventlog/esdbserver/persistent"
	"recapito/domain/event"
)

// Every setting is told back, and stored as EventStoreDB stores it.
func TestSettingsAreToldAndStored(t *testing.T) {
	f := newFixture(t)
	f.fill("x", "A")
	s := &groupSettings{
		ResolveLinks: true, ExtraStatistics: true, MaxRetryCount: 1, MinCheckpointCount: 2, MaxCheckpointCount: 3, MaxSubscriberCount: 4,
		LiveBufferSize: 5, ReadBatchSize: 6, HistoryBufferSize: 7, ConsumerStrategy: persistent.PinnedByCorrelation,
		MessageTimeout:  &subscriptions.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 80_000},
		CheckpointAfter: &subscriptions.CreateReq_Settings_CheckpointAfterTicks{CheckpointAfterTicks: 90_000},
	}
	o := onAll(s)
	o.GetAll().AllOption = &subscriptions.CreateReq_AllOptions_End{End: &shared.Empty{}}
	o.GetAll().FilterOption = &subscriptions.CreateReq_AllOptions_Filter{Filter: &subscriptions.CreateReq_AllOptions_FilterOptions{
		Filter: &subscriptions.CreateReq_AllOptions_FilterOptions_StreamIdentifier{StreamIdentifier: &subscriptions.CreateReq_AllOptions_FilterOptions_Expression{Prefix: []string{"a", "b,c"}}},
	}}
	f.create(o)
	want := &subscriptions.SubscriptionInfo{
		EventSource: "$all", GroupName: "g", Status: "Live", StartFrom: "C:-1/P:-1", ResolveLinkTos: true, ExtraStatistics: true,
		MaxRetryCount: 1, MinCheckPointCount: 2, MaxCheckPointCount: 3, MaxSubscriberCount: 4, LiveBufferSize: 5, ReadBatchSize: 6,
		BufferSize: 7, MessageTimeoutMilliseconds: 8, CheckPointAfterMilliseconds: 9, NamedConsumerStrategy: "PinnedByCorrelation",
	}
	told := func() {
		t.Helper()
		f.eventually("live", persistent.All, func(i *subscriptions.SubscriptionInfo) bool { return i.GetStatus() == "Live" })
		i := f.info(persistent.All)
		i.LastCheckpointedEventPosition = "" // it moves by itself: the filter keeps all away
		if diff := cmp.Diff(want, i, protocmp.Transform()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	told()
	f.restart()
	told()
	config := f.stored("$persistentSubscriptionConfig")
	stored := `"entries":[{"stream":"$all","group":"g","filter":{"context":"streamid","type":"regex","data":"^(?:a|b,c)","isAllStream":true},` +
		`"resolveLinkTos":true,"extraStatistics":true,"messageTimeout":8,"liveBufferSize":5,"historyBufferSize":7,"maxRetryCount":1,` +
		`"readBatchSize":6,"checkPointAfter":9,"minCheckPointCount":2,"maxCheckPointCount":3,"maxSubscriberCount":4,` +
		`"namedConsumerStrategy":"PinnedByCorrelation","startFrom":-9223372036854775808,"startPosition":"C:-1/P:-1","endedAt":1}]}`
	if len(config) != 1 || config[0].Type != "$PersistentConfig" || !strings.HasPrefix(string(config[0].Data), `{"version":"2","updated":"`) || !strings.HasSuffix(string(config[0].Data), stored) {
		t.Errorf("stored %s\n%s", config[0].Type, config[0].Data)
	}
}

// Where groups begin, with the forms of older clients.
func TestWhereGroupsBegin(t *testing.T) {
	stream := func(o *subscriptions.CreateReq_StreamOptions) *createOptions {
		o.StreamIdentifier = name("s")
		return &createOptions{StreamOption: &subscriptions.CreateReq_Options_Stream{Stream: o}}
	}
	all := func(commit uint64) *createOptions {
		return &createOptions{StreamOption: &subscriptions.CreateReq_Options_All{All: &subscriptions.CreateReq_AllOptions{
			AllOption:    &subscriptions.CreateReq_AllOptions_Position{Position: &subscriptions.CreateReq_Position{CommitPosition: commit, PreparePosition: commit}},
			FilterOption: &subscriptions.CreateReq_AllOptions_NoFilter{NoFilter: &shared.Empty{}},
		}}}
	}
	older := func(revision uint64) *createOptions {
		return &createOptions{StreamIdentifier: name("s"), Settings: &groupSettings{Revision: revision}} //nolint:staticcheck // of older clients
	}
	tests := map[string]struct {
		o         *createOptions
		source    string
		want      []string
		startFrom string
	}{
		"start":      {stream(&subscriptions.CreateReq_StreamOptions{RevisionOption: &subscriptions.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}), "s", []string{"s@0", "s@1", "s@2"}, "0"},
		"revision":   {stream(&subscriptions.CreateReq_StreamOptions{RevisionOption: &subscriptions.CreateReq_StreamOptions_Revision{Revision: 1}}), "s", []string{"s@1", "s@2"}, "1"},
		"end":        {stream(&subscriptions.CreateReq_StreamOptions{RevisionOption: &subscriptions.CreateReq_StreamOptions_End{End: &shared.Empty{}}}), "s", []string{"s@2"}, "-1"},
		"older":      {older(1), "s", []string{"s@1", "s@2"}, "1"},
		"older, end": {older(math.MaxUint64), "s", []string{"s@2"}, "-1"},
		"position":   {all(2), persistent.All, []string{"s@1"}, "C:2/P:2"},
		"all ones":   {all(math.MaxUint64), persistent.All, []string{"$$$persistentSubscriptionConfig@0"}, "C:-1/P:-1"},
		"the future": {stream(&subscriptions.CreateReq_StreamOptions{RevisionOption: &subscriptions.CreateReq_StreamOptions_Revision{Revision: 2}}), "s", []string{"s@2"}, "2"},
		"no stream yet": {&createOptions{StreamOption: &subscriptions.CreateReq_Options_Stream{Stream: &subscriptions.CreateReq_StreamOptions{
			StreamIdentifier: name("new"), RevisionOption: &subscriptions.CreateReq_StreamOptions_End{End: &shared.Empty{}}}}}, "new", []string{"new@0"}, "-1"},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.fill("s", types(2)...)
			given := standard()
			given.Revision = test.o.GetSettings().GetRevision() //nolint:staticcheck // of older clients
			test.o.GroupName, test.o.Settings = "g", given
			f.create(test.o)
			f.fill("s", "A")
			f.fill("new", "A")
			f.restart() // what came after the creation is not lost by it
			c := f.connect(test.source, 10)
			_, got := c.next(len(test.want))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if i := f.info(test.source); i.GetStartFrom() != test.startFrom {
				t.Errorf("it starts from %q", i.GetStartFrom())
			}
		})
	}
}

func (f *fixture) update(stream string, change func(*subscriptions.UpdateReq_Settings)) error {
	f.t.Helper()
	s := &subscriptions.UpdateReq_Settings{
		MaxRetryCount: 10, MinCheckpointCount: 1, MaxCheckpointCount: 1, LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500,
		NamedConsumerStrategy: subscriptions.UpdateReq_Pinned,
		MessageTimeout:        &subscriptions.UpdateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 30_000},
		CheckpointAfter:       &subscriptions.UpdateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: 2_000},
	}
	change(s)
	_, err := f.groups().Update(f.ctx, &subscriptions.UpdateReq{Options: &subscriptions.UpdateReq_Options{
		GroupName: "g", Settings: s, StreamOption: &subscriptions.UpdateReq_Options_Stream{Stream: &subscriptions.UpdateReq_StreamOptions{
			StreamIdentifier: name(stream), RevisionOption: &subscriptions.UpdateReq_StreamOptions_Start{Start: &shared.Empty{}},
		}},
	}})
	return err
}

func (c *consumer) wantEnd(code codes.Code) {
	c.t.Helper()
	select {
	case err := <-c.ended:
		if status.Code(err) != code {
			c.t.Errorf("it ended with %v, want %v", err, code)
		}
	case <-time.After(patience):
		c.t.Errorf("it did not end, want %v", code)
	}
}

func TestUpdateDropsConsumersAndGoesOn(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(4)...)
	f.create(onStream("s", standard(func(s *groupSettings) { s.MinCheckpointCount, s.MaxCheckpointCount = 1000, 1000 })))
	c := f.connect("s", 3)
	got := c.want("s@0", "s@1", "s@2")
	c.ack(got[0], got[2])
	c.want("s@3")
	if err := f.update("s", func(*subscriptions.UpdateReq_Settings) {}); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(codes.Canceled)
	if i := f.info("s"); i.GetNamedConsumerStrategy() != persistent.Pinned || i.GetLastCheckpointedEventPosition() != "0" || i.GetMaxCheckPointCount() != 1 {
		t.Errorf("updated: %v", i)
	}
	c = f.connect("s", 10)
	c.want("s@1", "s@2", "s@3")
	if err := f.update("s", func(s *subscriptions.UpdateReq_Settings) { s.HistoryBufferSize = 0 }); status.Code(err) != codes.Internal {
		t.Errorf("a bad update: %v", err)
	}
	c.quiet() // it was not dropped
}

func TestADeletedGroupIsForgotten(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(3)...)
	for range 2 {
		f.create(onStream("s", standard()))
		c := f.connect("s", 10)
		got := c.want("s@0", "s@1", "s@2")
		c.nack(subscriptions.ReadReq_Nack_Park, got[0])
		c.ack(got[1:]...)
		f.eventually("all is written", "s", func(i *subscriptions.SubscriptionInfo) bool {
			return i.GetParkedMessageCount() == 1 && i.GetLastCheckpointedEventPosition() == "2"
		})
		if _, err := f.groups().Delete(f.ctx, &subscriptions.DeleteReq{Options: &subscriptions.DeleteReq_Options{
			GroupName: "g", StreamOption: &subscriptions.DeleteReq_Options_StreamIdentifier{StreamIdentifier: name("s")},
		}}); err != nil {
			t.Fatal(err)
		}
		c.wantEnd(codes.Canceled)
	}
	f.restart()
	if _, err := f.tryConnect(groupOf("s", 1)); status.Code(err) != codes.NotFound {
		t.Errorf("connected: %v", err)
	}
}

func TestRestartOfTheSubsystem(t *testing.T) {
	f := newFixture(t)
	f.fill("s", types(2)...)
	f.create(onStream("s", standard()))
	c := f.connect("s", 10)
	c.ack(c.want("s@0", "s@1")[0])
	f.eventually("one is in flight", "s", func(i *subscriptions.SubscriptionInfo) bool { return i.GetTotalInFlightMessages() == 1 })
	if _, err := f.groups().RestartSubsystem(f.ctx, &shared.Empty{}); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(codes.Canceled)
	f.connect("s", 10).want("s@1")
}

func TestCloseEndsConsumers(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard()))
	c := f.connect("s", 1)
	f.restart()
	c.wantEnd(codes.Unavailable)
}

// Checkpoints come after the larger count, or after the smaller one and the interval.
func TestWhenCheckpointsAreWritten(t *testing.T) {
	tests := map[string]struct {
		least, most int32
		after       time.Duration
		acked       int
		want        string
	}{
		"every event":               {1, 1, time.Hour, 3, "2"},
		"the larger count":          {1, 3, time.Hour, 3, "2"},
		"not yet the larger count":  {1, 4, time.Hour, 3, ""},
		"the smaller count in time": {3, 100, time.Millisecond, 3, "2"},
		"not yet the smaller count": {4, 100, time.Millisecond, 3, ""},
		"no interval":               {1, 100, 0, 3, ""},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.fill("s", types(5)...)
			f.create(onStream("s", standard(func(s *groupSettings) {
				s.MinCheckpointCount, s.MaxCheckpointCount = test.least, test.most
				s.CheckpointAfter = &subscriptions.CreateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: int32(test.after.Milliseconds())}
			})))
			c := f.connect("s", 10)
			got := c.want(words("s", 0, 5)...)
			c.ack(got[:test.acked]...)
			f.eventually("acknowledged", "s", func(i *subscriptions.SubscriptionInfo) bool {
				return i.GetTotalInFlightMessages() == int32(5-test.acked) && (test.want == "" || i.GetLastCheckpointedEventPosition() == test.want)
			})
			if test.want == "" {
				time.Sleep(50 * time.Millisecond) // it would be written within a moment
				if got := f.info("s").GetLastCheckpointedEventPosition(); got != "" {
					t.Errorf("a checkpoint %q", got)
				}
			}
		})
	}
}

// Without a timeout nothing comes again by itself.
func TestNoMessageTimeout(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A")
	f.create(onStream("s", standard(timeout(0))))
	c := f.connect("s", 1)
	c.want("s@0")
	c.quiet()
}

// A group reads no further than its buffers reach, and goes on from the log.
func TestAGroupReadsAheadNoFurtherThanItsBuffer(t *testing.T) {
	f := newFixture(t)
	const n = 200
	f.fill("s", types(n)...)
	f.create(onStream("s", standard(func(s *groupSettings) { s.HistoryBufferSize, s.ReadBatchSize, s.LiveBufferSize = 10, 3, 5 })))
	c := f.connect("s", 2)
	for i := range n {
		c.ack(c.want(words("s", i, i+1)...)...)
		if info := f.info("s"); info.GetReadBufferCount()+int32(info.GetLiveBufferCount()) > 10 {
			t.Fatalf("it holds %d and %d", info.GetReadBufferCount(), info.GetLiveBufferCount())
		}
	}
	f.fill("s", types(50)...)
	for i := range 50 {
		c.ack(c.want(words("s", n+i, n+i+1)...)...)
	}
	f.eventually("live", "s", func(i *subscriptions.SubscriptionInfo) bool {
		return i.GetStatus() == "Live" && i.GetLastCheckpointedEventPosition() == "249" && i.GetLastKnownEventPosition() == "249"
	})
}

// What a group holds is bounded in bytes, too: the consumer has room for more.
func TestAGroupHoldsSoManyBytes(t *testing.T) {
	f := newFixture(t)
	const n = 40
	for range n {
		f.fillLarge("s", 1<<20-1000)
	}
	f.create(onStream("s", standard()))
	c := f.connect("s", 1000)
	first, _ := c.next(16)
	c.quiet()
	c.ack(first...)
	rest, _ := c.next(16)
	c.ack(rest...)
	c.next(8)
}

func TestInfoOfConsumers(t *testing.T) {
	f := newFixture(t)
	f.create(onStream("s", standard(func(s *groupSettings) { s.ExtraStatistics = true })))
	c := f.connect("s", 5)
	f.fill("s", types(3)...)
	c.ack(c.want("s@0", "s@1", "s@2")[:2]...)
	f.eventually("acknowledged", "s", func(i *subscriptions.SubscriptionInfo) bool { return i.GetTotalInFlightMessages() == 1 })
	i := f.info("s")
	connections := i.GetConnections()
	if len(connections) != 1 {
		t.Fatalf("connections %v", connections)
	}
	one := connections[0]
	if !strings.HasPrefix(one.GetFrom(), "127.0.0.1:") || one.GetUsername() != "anonymous" || one.GetTotalItems() != 3 || one.GetAvailableSlots() != 4 || one.GetInFlightMessages() != 1 || one.GetConnectionName() != "<unknown>" {
		t.Errorf("connection %v", one)
	}
	keys := []string{"Mean", "Median", "Fastest", "Quintile 1", "Quintile 2", "Quintile 3", "Quintile 4", "Quintile 5", "90%", "95%", "99%", "99.5%", "99.9%", "Highest"}
	var got []string
	for _, m := range one.GetObservedMeasurements() {
		got = append(got, m.GetKey())
	}
	if !slices.Equal(got, keys) {
		t.Errorf("measurements %q", got)
	}
	if i.GetTotalItems() != 3 || i.GetOutstandingMessagesCount() != 1 {
		t.Errorf("info %v", i)
	}
}

// A group whose place cannot be read keeps no other from working, and can be deleted.
func TestAGroupThatCannotStart(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A")
	f.fill("t", "A")
	f.create(onStream("s", standard()))
	f.create(onStream("t", standard()))
	f.fill("$persistentsubscription-s::g-checkpoint", "$SubscriptionCheckpoint") // no place
	f.restart()
	f.connect("t", 1).want("t@0")
	if _, err := f.tryConnect(groupOf("s", 1)); status.Code(err) != codes.Internal {
		t.Errorf("connected: %v", err)
	}
	if i := f.info("s"); i.GetStatus() != "NotReady" {
		t.Errorf("it is %s", i.GetStatus())
	}
	if _, err := f.groups().Delete(f.ctx, &subscriptions.DeleteReq{Options: &subscriptions.DeleteReq_Options{
		GroupName: "g", StreamOption: &subscriptions.DeleteReq_Options_StreamIdentifier{StreamIdentifier: name("s")},
	}}); err != nil {
		t.Fatal(err)
	}
	f.create(onStream("s", standard()))
	f.connect("s", 1).want("s@0")
}

// A stream that is tombstoned ends its consumers; one that is deleted and comes again
// goes on.
func TestTheStreamOfAGroupIsDeleted(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A", "A")
	f.create(onStream("s", standard()))
	c := f.connect("s", 10)
	c.ack(c.want("s@0", "s@1")...)
	if _, err := f.log.Delete(f.ctx, "s", event.Any()); err != nil {
		t.Fatal(err)
	}
	f.fill("s", "A")
	c.ack(c.want("s@2")...)
	if _, err := f.log.Tombstone(f.ctx, "s", event.Any()); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(codes.FailedPrecondition)
}
