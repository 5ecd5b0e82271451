package deadlines

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recapito/commands/storetest/memory"
	"recapito/domain/deadline"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
)

// machine drives services and writers one step at a time, on a clock of its own.
type machine struct {
	t         *rapid.T
	store     *memory.Store
	codec     *event.Codec
	now       time.Time
	writers   []*Writer
	two       bool
	rivals    [2]instance
	*instance // the one that is looked at: both fire at once, without a lease
	set       map[string]time.Time
	fired     map[string]int
	failing   int // fires that fail
	most      int
	faults    int
}

type instance struct {
	service *Service // nil while it is down
	shown   int      // events of $all shown to the service
}

const smallLimit = 3

var errFire = errors.New("not carried out")

// other looks at the other instance, if there is one.
func (m *machine) other() {
	if m.two && m.instance == &m.rivals[0] {
		m.instance = &m.rivals[1]
	} else {
		m.instance = &m.rivals[0]
	}
}

func (m *machine) clock() time.Time { return m.now }

func (m *machine) start() {
	m.service = New(m.store, m.codec, m.clock, quiet, func(_ context.Context, d deadline.DeadlineSet) error {
		if m.failing > 0 {
			m.failing--
			return errFire
		}
		if m.now.Before(m.set[d.Notification]) {
			m.t.Fatalf("fired %v before its time", m.set[d.Notification].Sub(m.now))
		}
		m.fired[d.Notification]++
		return nil
	})
	m.service.limit = smallLimit
	if err := m.service.Begin(context.Background()); err != nil {
		m.service = nil
		return
	}
	m.shown = 0
	if after := m.service.After(); after != nil {
		m.shown = int(*after) + 1
	}
}

func (m *machine) setSome(n int) {
	w := m.writers[rapid.IntRange(0, len(m.writers)-1).Draw(m.t, "writer")]
	var ds []deadline.DeadlineSet
	for range n {
		in := rapid.OneOf(
			rapid.Int64Range(0, 30_000), rapid.Int64Range(-300_000, 300_000), rapid.Int64Range(0, 4_000_000),
		).Draw(m.t, "ms")
		d := deadline.DeadlineSet{At: m.now.Add(time.Duration(in) * time.Millisecond), Notification: fmt.Sprint(len(m.set)), Attempt: 1}
		m.set[d.Notification] = d.At
		ds = append(ds, d)
	}
	if err := w.SetNow(context.Background(), ds...); err != nil {
		for _, d := range ds { // nothing is promised of them
			m.fired[d.Notification]++
		}
	}
}

// show lets the service see some of what it was not shown yet.
func (m *machine) show(n int) {
	for all := m.store.All(); n > 0 && m.shown < len(all); n-- {
		if err := m.service.Observe(context.Background(), all[m.shown]); err != nil {
			m.t.Fatalf("Observe: %v", err)
		}
		m.shown++
	}
}

func (m *machine) step() {
	if _, err := m.service.FireDue(context.Background()); err != nil {
		m.service = nil // its session ends
		return
	}
	m.most = max(m.most, m.service.schedule.held())
}

// check wants no bucket to be written after it was closed, unless it was discarded in
// between: then it is as one that never was.
func (m *machine) check() {
	closed := map[string]bool{}
	for _, e := range m.store.All() {
		if of, ok := strings.CutPrefix(e.Stream, event.MetadataPrefix); ok {
			if strings.Contains(string(e.Data), fmt.Sprint(event.RevisionEnd)) {
				closed[of] = false
			}
			continue
		}
		if closed[e.Stream] {
			m.t.Fatalf("%s was written after it was closed", e.Stream)
		}
		closed[e.Stream] = e.Type == closedName
	}
}

// TestEveryDeadlineFires: whatever is set at whatever time by two writers, restarts,
// late showings, failures and clashes between any two steps, one service or two that fire
// at once: everything fires, never early; every bucket is closed in the end and never written again.
func TestEveryDeadlineFires(t *testing.T) {
	c := codec(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{
			t: t, store: &memory.Store{}, codec: c, now: time.Date(2026, 11, 23, 10, 0, 30, 0, time.UTC),
			set: map[string]time.Time{}, fired: map[string]int{}, faults: rapid.IntRange(0, 6).Draw(t, "faults"),
		}
		m.writers = []*Writer{NewWriter(m.store, c, m.clock), NewWriter(m.store, c, m.clock)}
		m.instance = &m.rivals[0]
		m.two = rapid.Bool().Draw(t, "two")
		appends := 0
		m.store.AppendFault = func(string, []event.New) (error, bool) {
			appends++
			if m.faults > 0 && appends%5 == 0 {
				m.faults--
				return event.ErrUnknownOutcome, m.faults%2 == 0
			}
			return nil, false
		}
		t.Repeat(map[string]func(*rapid.T){
			"set":      func(t *rapid.T) { m.t = t; m.setSome(rapid.IntRange(1, 4).Draw(t, "n")) },
			"set many": func(t *rapid.T) { m.t = t; m.setSome(12) },
			"time": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.Int64Range(1, 90_000).Draw(t, "ms")) * time.Millisecond)
			},
			"long time": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.Int64Range(1, 20).Draw(t, "minutes")) * time.Minute)
			},
			"start": func(*rapid.T) {
				if m.service == nil {
					m.start()
				}
			},
			"show": func(t *rapid.T) {
				if m.service != nil {
					m.show(rapid.IntRange(1, 30).Draw(t, "n"))
				}
			},
			"step": func(*rapid.T) {
				if m.service != nil {
					m.step()
				}
			},
			"crash": func(*rapid.T) { m.service = nil },
			"other": func(*rapid.T) { m.other() },
			"fail":  func(*rapid.T) { m.failing++ },
			"":      func(t *rapid.T) { m.t = t; m.check() },
		})
		m.failing, m.faults = 0, 0
		settle := func(rounds int, passes time.Duration) {
			for range rounds {
				if m.service == nil {
					m.start()
				}
				m.show(1 << 20)
				m.step()
				m.other()
				m.now = m.now.Add(passes)
			}
		}
		settle(600, 15*time.Second)
		for name, at := range m.set {
			if m.fired[name] == 0 {
				t.Errorf("one set for %v was never fired", at)
			}
		}
		before := len(m.store.All())
		settle(30, 20*time.Second)
		if after := len(m.store.All()); after != before {
			t.Errorf("idle, and %d events were appended", after-before)
		}
		open := map[string]bool{}
		for _, e := range m.store.All() {
			if _, err := deadline.ParseStream(e.Stream); err == nil {
				open[e.Stream] = e.Type != closedName
			}
		}
		for stream, is := range open {
			if is {
				t.Errorf("%s was never closed", stream)
			}
		}
		// Two buckets near, four shards each, and what is being fired.
		if bound := 6 * Shards * 2 * smallLimit; m.most > bound {
			t.Errorf("up to %d deadlines were held, at most %d should be", m.most, bound)
		}
	})
}

// TestSlice keeps the smallest, whatever comes in whatever order.
func TestSlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 6).Draw(t, "limit")
		times := rapid.SliceOf(rapid.IntRange(0, 9)).Draw(t, "times")
		var got []item
		var after *item
		for slices := 0; ; slices++ {
			s := newSlice(limit, after)
			for i, at := range times {
				s.offer(item{DeadlineSet: deadline.DeadlineSet{At: time.Unix(int64(at), 0)}, revision: event.Revision(i)})
			}
			got = append(got, s.items...)
			if len(s.items) > limit || slices > len(times) {
				t.Fatalf("a slice of %d of at most %d, after %d slices", len(s.items), limit, slices)
			}
			if !s.full {
				break
			}
			after = &s.items[len(s.items)-1]
		}
		if len(got) != len(times) {
			t.Fatalf("%d of %d", len(got), len(times))
		}
		for i := 1; i < len(got); i++ {
			if got[i-1].compare(got[i]) >= 0 {
				t.Fatalf("not in order at %d", i)
			}
		}
	})
}
