package storecopy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"recapito/commands/storecopy"
	"recapito/commands/storetest/memory"
	"recapito/domain/catalogue"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func someEvent(typ string) event.New {
	id := uuid.NewString()
	return event.New{ID: id, Type: typ, Data: fmt.Appendf(nil, `{"of" : %q}`, id), Metadata: []byte(`{"m" : 1}`)}
}

func add(t testing.TB, s storecopy.Target, stream string, events ...event.New) {
	t.Helper()
	if _, err := s.Append(context.Background(), stream, event.Any(), events); err != nil {
		t.Fatal(err)
	}
}

func quiet(storecopy.Progress) {}

// plain is what a copy must keep of an event.
type plain struct {
	Stream         string
	Revision       event.Revision
	ID, Type       string
	Data, Metadata string
	Binary         bool
}

func plainOf(events []event.Recorded, carried func(event.Recorded) bool) []plain {
	var all []plain
	for _, e := range events {
		if carried == nil || carried(e) {
			all = append(all, plain{e.Stream, e.Revision, e.ID, e.Type, string(e.Data), string(e.Metadata), e.Binary})
		}
	}
	return all
}

// cutShort is a target whose appends fail after a while, before or after they are written.
type cutShort struct {
	storecopy.Target
	left  int
	after bool
}

var errCut = errors.New("cut short")

func (c *cutShort) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (event.Appended, error) {
	if c.left--; c.left < 0 {
		if c.after {
			_, _ = c.Target.Append(ctx, stream, expected, events)
		}
		return event.Appended{}, errCut
	}
	return c.Target.Append(ctx, stream, expected, events)
}

// beheaded is a source that has lost the beginnings of streams.
type beheaded struct {
	storecopy.Source
	first map[string]event.Revision
}

func (b beheaded) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	limit := read.Limit
	read.Limit = 0
	enough := errors.New("enough")
	n := 0
	err := b.Source.ReadAll(ctx, read, func(e event.Recorded) error {
		if e.Revision < b.first[e.Stream] {
			return nil
		}
		if err := visit(e); err != nil {
			return err
		}
		if n++; n == limit {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

func (b beheaded) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	if read.Direction == event.Forwards {
		read.From = max(read.From, b.first[read.Stream])
	}
	return b.Source.ReadStream(ctx, read, visit)
}

var streams = []string{
	"notification-1", "notification-2", "receipt-x-1", "audit-acme-20260228", "order-7", "plain", "mark-0",
	"deadline-20260228T2330Z-1", "deadline-20260228T2331Z-0", "checkpoint-runner-x", "lease-y", "$$notification-1", "$settings",
}

// TestCopy: whatever a source holds, wherever a copy is cut short, and whatever is added
// to the source meanwhile: in the end the target holds what is carried, in order.
func TestCopy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		from, to := &memory.Store{}, &memory.Store{}
		add(t, to, "$users", someEvent("$User")) // as a new EventStoreDB has
		closed := map[string]bool{}
		grow := func(closing bool) {
			for range rapid.IntRange(0, 40).Draw(rt, "appends") {
				stream := rapid.SampledFrom(streams).Draw(rt, "stream")
				if closed[stream] {
					continue
				}
				var events []event.New
				for range rapid.IntRange(1, 4).Draw(rt, "events") {
					e := someEvent("T")
					e.Binary = rapid.Bool().Draw(rt, "binary")
					events = append(events, e)
				}
				if closing && strings.HasPrefix(stream, "deadline-") && rapid.IntRange(0, 4).Draw(rt, "close") == 0 {
					events, closed[stream] = []event.New{someEvent("DeadlineBucketClosed")}, true
				}
				add(t, from, stream, events...)
			}
		}
		grow(true)
		carried := func(e event.Recorded) bool {
			switch {
			case strings.HasPrefix(e.Stream, "deadline-"):
				return !closed[e.Stream]
			case strings.HasPrefix(e.Stream, "checkpoint-"), strings.HasPrefix(e.Stream, "lease-"), strings.HasPrefix(e.Stream, "$"):
				return false
			}
			return true
		}
		for i := 0; ; i++ {
			cut := &cutShort{Target: to, left: rapid.IntRange(0, 20).Draw(rt, "appends until cut"), after: rapid.Bool().Draw(rt, "written")}
			_, err := storecopy.Copy(rt.Context(), from, cut, quiet)
			if err != nil && !errors.Is(err, errCut) {
				rt.Fatal(err)
			}
			if err == nil && i > 2 {
				break
			}
			if i < 2 {
				grow(false)
			}
		}
		want := plainOf(from.All(), carried)
		got := plainOf(to.All(), func(e event.Recorded) bool { return !strings.HasPrefix(e.Stream, "$") })
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
		n, err := storecopy.Verify(rt.Context(), from, to, quiet)
		if err != nil || n != uint64(len(want)) {
			rt.Fatalf("verified %d of %d: %v", n, len(want), err)
		}
	})
}

// TestBucketsCloseMeanwhile: deadlines that were copied and are done since are no
// difference, whether the source still has them or not.
func TestBucketsCloseMeanwhile(t *testing.T) {
	const bucket, other = "deadline-20260228T2330Z-1", "deadline-20260228T2331Z-0"
	from, to := &memory.Store{}, &memory.Store{}
	add(t, from, "notification-1", someEvent("A"))
	add(t, from, bucket, someEvent("DeadlineSet"), someEvent("DeadlineSet"))
	add(t, from, other, someEvent("DeadlineSet"))
	if _, err := storecopy.Copy(t.Context(), from, to, quiet); err != nil {
		t.Fatal(err)
	}
	add(t, from, bucket, someEvent("DeadlineBucketClosed"))
	add(t, from, "notification-1", someEvent("B"))
	add(t, from, other, someEvent("DeadlineSet"))
	for name, source := range map[string]storecopy.Source{
		"kept":      from,
		"scavenged": beheaded{from, map[string]event.Revision{bucket: 3}},
	} {
		report, err := storecopy.Copy(t.Context(), source, to, quiet)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !report.Resumed || name == "kept" && report.Copied != 2 {
			t.Logf("%s: %+v", name, report)
		}
		if n, err := storecopy.Verify(t.Context(), source, to, quiet); err != nil || n < 4 {
			t.Errorf("%s: verified %d: %v", name, n, err)
		}
	}
	if n := len(to.Stream(other)); n != 2 {
		t.Errorf("%d deadlines of the open bucket, want 2", n)
	}
	if n := len(to.Stream("notification-1")); n != 2 {
		t.Errorf("%d events of the notification, want 2", n)
	}
}

// TestTruncated: a stream that lost its beginning begins at 0 in the target.
func TestTruncated(t *testing.T) {
	all, to := &memory.Store{}, &memory.Store{}
	from := beheaded{all, map[string]event.Revision{"order-1": 3}}
	for range 6 {
		add(t, all, "order-1", someEvent("A"))
		add(t, all, "order-2", someEvent("A"))
	}
	cut := &cutShort{Target: to, left: 6}
	if _, err := storecopy.Copy(t.Context(), from, cut, quiet); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	report, err := storecopy.Copy(t.Context(), from, to, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if got := to.Stream("order-1"); len(got) != 3 || got[0].ID != all.Stream("order-1")[3].ID {
		t.Errorf("%d events", len(got))
	}
	if n, err := storecopy.Verify(t.Context(), from, to, quiet); err != nil || n != 9 {
		t.Errorf("verified %d: %v; %+v", n, err, report)
	}
}

// TestOtherTargets: nothing is written to a target that holds something else, and Verify
// finds every difference.
func TestOtherTargets(t *testing.T) {
	from := &memory.Store{}
	for range 3 {
		add(t, from, "notification-1", someEvent("A"), someEvent("B"))
		add(t, from, "notification-2", someEvent("A"))
	}
	copied := func(upTo int, change func(i int, e *event.New) bool) *memory.Store {
		to := &memory.Store{}
		for i, e := range from.All()[:upTo] {
			n := event.New{ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata, Binary: e.Binary}
			if change(i, &n) {
				add(t, to, e.Stream, n)
			}
		}
		return to
	}
	used := copied(4, func(int, *event.New) bool { return true })
	add(t, used, "checkpoint-x", someEvent("C"))
	swapped := copied(3, func(int, *event.New) bool { return true })
	add(t, swapped, "notification-2", someEvent("X"))
	for name, to := range map[string]*memory.Store{
		"another event":         copied(9, func(i int, e *event.New) bool { e.ID = uuid.NewString(); return i == 0 }),
		"other data":            copied(5, func(i int, e *event.New) bool { e.Data = []byte(fmt.Sprintf(`{"x":%d}`, i/4)); return true }),
		"other metadata":        copied(5, func(i int, e *event.New) bool { e.Metadata = nil; return true }),
		"another type":          copied(5, func(i int, e *event.New) bool { e.Type += "x"; return true }),
		"another content type":  copied(5, func(i int, e *event.New) bool { e.Binary = i == 4; return true }),
		"one missing":           copied(5, func(i int, e *event.New) bool { return i != 3 }),
		"in use":                used,
		"one that is elsewhere": swapped,
	} {
		before := len(to.All())
		if _, err := storecopy.Copy(t.Context(), from, to, quiet); !errors.Is(err, storecopy.ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(to.All()); n != before {
			t.Errorf("%s: %d events were written", name, n-before)
		}
		if _, err := storecopy.Verify(t.Context(), from, to, quiet); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	short := copied(8, func(int, *event.New) bool { return true })
	if _, err := storecopy.Verify(t.Context(), from, short, quiet); err == nil || !strings.Contains(err.Error(), "it ends before revision") {
		t.Errorf("one that is not whole: %v", err)
	}
}

// The name that closes a bucket is the one that is stored.
func TestClosingEventIsKnown(t *testing.T) {
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	known := false
	for _, name := range codec.Names() {
		known = known || name == "DeadlineBucketClosed"
	}
	if !known {
		t.Error("no event has the name DeadlineBucketClosed")
	}
}
