package follow_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"recapito/commands/lease"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/projectionstest"
	"recapito/readmodels"
)

// Processes run the projections and are killed at any step, what they ask of the store
// and of ClickHouse fails before or after it was done, every batch is written twice and
// without a token, some of them after the writer's end; ClickHouse is wiped; rebuilds
// are asked for while events arrive. In the end the tables hold what a fold of the
// store says, and nothing was seen that then went away.
func TestCrashesAnywhere(t *testing.T) {
	projectionstest.EverySeed(t, 200, crashes)
}

// inWorld runs a seed in a bubble.
func inWorld(t *testing.T, seed uint64, run func(t *testing.T, random *rand.Rand, store *memory, house *warehouse, author *projectionstest.Author)) {
	synctest.Test(t, func(t *testing.T) {
		defer func() {
			if t.Failed() {
				t.Fatalf("seed %d; replay it by %s=%d", seed, projectionstest.SeedEnv, seed)
			}
		}()
		house := newWarehouse()
		house.slow = true
		run(t, rand.New(rand.NewPCG(seed, 3)), newMemory(), house, projectionstest.NewAuthor(t, seed))
	})
}

type process struct {
	projections *follow.Projector
	chaos       *chaos
	cancel      context.CancelFunc
	done        chan struct{}

	mu    sync.Mutex
	aside map[string]string // what was set aside and why, by projection and position
}

func (p *process) setAside(_ context.Context, projection string, u *event.Unreadable) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.aside == nil {
		p.aside = map[string]string{}
	}
	p.aside[fmt.Sprintf("%s@%d", projection, u.Position)] = u.Why
	return nil
}

// asideBy counts what was set aside, by projection.
func (p *process) asideBy() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[string]int{}
	for key := range p.aside {
		projection, _, _ := strings.Cut(key, "@")
		n[projection]++
	}
	return n
}

func startProcess(t *testing.T, store *memory, house *warehouse, codec *event.Codec, seed uint64, often float64) *process {
	return startInstance(t, "", store, house, codec, seed, often)
}

// startInstance starts one of several processes that share the work; a holder's name
// that is empty starts the only one.
func startInstance(t *testing.T, holder string, store *memory, house *warehouse, codec *event.Codec, seed uint64, often float64) *process {
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{
		chaos:  &chaos{random: rand.New(rand.NewPCG(seed, 11)), often: often, kill: cancel},
		cancel: cancel, done: make(chan struct{}),
	}
	config := follow.Config{
		Projections: projectionstest.Small(projections.All(codec, nil), modelSpan), BatchEvents: 4,
		Source: peer{store, p.chaos}, Checkpoints: peer{store, p.chaos}, Target: stock{house, p.chaos}, Log: slog.New(slog.DiscardHandler),
		Aside: p.setAside,
	}
	if holder != "" {
		config.Lease = func(name string) follow.Lease { return lease.New(peer{store, p.chaos}, name, holder, config.Log) }
	}
	var err error
	p.projections, err = follow.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var id atomic.Int64
	follow.NameTables(p.projections, func() string { return fmt.Sprintf("%d_%d", seed, id.Add(1)) })
	go func() {
		defer close(p.done)
		p.projections.Run(ctx)
	}()
	return p
}

func (p *process) stop() {
	p.cancel()
	<-p.done
}

func crashes(t *testing.T, seed uint64) {
	inWorld(t, seed, func(t *testing.T, random *rand.Rand, store *memory, house *warehouse, author *projectionstest.Author) {
		often := []float64{0, 0.01, 0.05, 0.2}[random.IntN(4)]
		p := startProcess(t, store, house, author.Codec, random.Uint64(), often)
		rebuilds, stopRebuilds := context.WithCancel(t.Context())
		var late []*chaos
		for range 40 + random.IntN(40) {
			switch random.IntN(20) {
			case 0:
				p.stop()
				late = append(late, p.chaos)
				if random.IntN(6) == 0 {
					house.wipe(random.IntN(2) == 0)
				}
				p = startProcess(t, store, house, author.Codec, random.Uint64(), often)
			case 1:
				asked, name := p.projections, projections.Names[random.IntN(len(projections.Names))]
				go func() { _ = asked.Rebuild(rebuilds, name, nil) }()
			case 2:
				asked := p.projections
				go func() { _ = asked.RebuildAll(rebuilds, nil) }()
			case 3:
				for _, c := range late {
					c.carryOutLate()
				}
			default:
				for range 1 + random.IntN(6) {
					stream, events := author.Next()
					if _, err := store.Append(t.Context(), stream, event.Any(), events); err != nil {
						t.Fatal(err)
					}
				}
			}
			select {
			case <-p.done: // it was killed
				late = append(late, p.chaos)
				p = startProcess(t, store, house, author.Codec, random.Uint64(), often)
			case <-time.After(time.Duration(random.IntN(500)) * time.Millisecond):
			}
		}
		stopRebuilds()
		p.stop()
		p = startProcess(t, store, house, author.Codec, random.Uint64(), 0)
		for _, c := range append(late, p.chaos) {
			c.carryOutLate()
		}
		calm(t, store, p)
		p.stop()
		house.check(t, author.Codec, store.ledger())
	})
}

// calm sees that all is done after a minute, and nothing is appended any more.
func calm(t *testing.T, store *memory, p *process) {
	t.Helper()
	time.Sleep(time.Minute)
	for _, s := range p.projections.States() {
		if !s.Ready() || s.Behind != 0 || s.Rebuild != nil || s.Events != uint64(len(store.ledger())) {
			t.Errorf("after a minute of calm: %+v; the ledger has %d events", s, len(store.ledger()))
		}
	}
	before := store.appendCount()
	time.Sleep(10 * time.Minute)
	if n := store.appendCount() - before; n != 0 {
		t.Errorf("an idle system appended %d times", n)
	}
}

// check holds what the views show against a fold of the ledger.
func (w *warehouse) check(t *testing.T, codec *event.Codec, ledger []event.Recorded) {
	t.Helper()
	if len(w.wrong) > 0 {
		t.Error(strings.Join(w.wrong, "\n"))
	}
	if n := len(w.views); len(w.tables) != n && !w.foreign && (len(w.tables) < n || !w.stray) {
		t.Errorf("%d tables are left, want %d", len(w.tables), n)
	}
	var want []readmodels.EventRow
	for seq, r := range ledger {
		want = append(want, projections.EventRow(projections.LedgerEvent{Recorded: r, Seq: uint64(seq)}))
	}
	if d := differ(want, mergedEvents(w.tables[w.views["events"]])); d != "" {
		t.Errorf("events: %s", d)
	}
	edr, err := projections.FoldEDR(codec, ledger)
	if err != nil {
		t.Fatal(err)
	}
	if d := differ(stored(edr), mergedParts(w.tables[w.views["edr"]])); d != "" {
		t.Errorf("edr: %s", d)
	}
	var calls []readmodels.AuditRow
	for seq, r := range ledger {
		e := projections.LedgerEvent{Recorded: r, Seq: uint64(seq)}
		if err := projections.Readable(e, func() error {
			told, err := projections.AuditRows(codec, nil, e)
			calls = append(calls, told...)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if d := differ(calls, mergedCalls(w.tables[w.views["audit_log"]])); d != "" {
		t.Errorf("audit_log: %s", d)
	}
	var events []projections.LedgerEvent
	for seq, r := range ledger {
		events = append(events, projections.LedgerEvent{Recorded: r, Seq: uint64(seq)})
	}
	parts, _ := projections.Notifications(codec).Rows(events)
	if d := differ(mergedNotifications(parts), mergedNotifications(w.tables[w.views["notifications"]])); d != "" {
		t.Errorf("notifications: %s", d)
	}
	accounting, rollups := cellSums{}, cellSums{}
	for cell, s := range projections.FoldAccounting(edr) {
		accounting[cell] = s
	}
	counts, err := projections.FoldRollups(codec, ledger)
	if err != nil {
		t.Fatal(err)
	}
	for cell, n := range counts {
		rollups[cell] = readmodels.AccountingSums{Messages: n}
	}
	if d := differ(accounting, w.sums("accounting")); d != "" {
		t.Errorf("accounting: %s", d)
	}
	if d := differ(rollups, w.sums("rollups")); d != "" {
		t.Errorf("rollups: %s", d)
	}
}

// differ returns how two values differ; the quick look spares most of them the long one.
func differ(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return gocmp.Diff(want, got)
}

func mergedEvents(rows []readmodels.Row) []readmodels.EventRow {
	merged := map[string]readmodels.EventRow{}
	for _, r := range rows {
		e := r.(readmodels.EventRow)
		merged[fmt.Sprint(e.Tenant, "\n", e.Stream, "\n", e.Revision)] = e
	}
	var all []readmodels.EventRow
	for _, e := range merged {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b readmodels.EventRow) int { return cmp.Compare(a.Seq, b.Seq) })
	return all
}

func mergedCalls(rows []readmodels.Row) []readmodels.AuditRow {
	merged := map[string]readmodels.AuditRow{}
	for _, r := range rows {
		c := r.(readmodels.AuditRow)
		merged[fmt.Sprint(c.Tenant, "\n", c.At, "\n", c.ID)] = c
	}
	all := slices.Collect(maps.Values(merged))
	slices.SortFunc(all, func(a, b readmodels.AuditRow) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(a.ID, b.ID))
	})
	return all
}

func mergedNotifications(rows []readmodels.Row) map[string]readmodels.PartialNotification {
	merged := map[string]readmodels.PartialNotification{}
	for _, r := range rows {
		part := r.(readmodels.PartialNotification)
		m := merged[part.Tenant+"\n"+part.Notification]
		m.Tenant, m.Notification = part.Tenant, part.Notification
		m.Merge(&part)
		merged[part.Tenant+"\n"+part.Notification] = m
	}
	return merged
}

// stored leaves out what the view works out.
func stored(rows []readmodels.EDR) []readmodels.EDR {
	rows = slices.Clone(rows)
	for i := range rows {
		e := &rows[i]
		e.QueueMs, e.SubmitMs, e.DeliveryMs, e.ErrorText, e.Billable = nil, nil, nil, "", false
	}
	return rows
}

// mergedParts merges as AggregatingMergeTree does: by the columns' functions.
func mergedParts(rows []readmodels.Row) []readmodels.EDR {
	merged := map[string]*readmodels.EDR{}
	outcomes := map[string]readmodels.Outcome{}
	for _, r := range rows {
		p := r.(readmodels.PartialEDR)
		key := fmt.Sprintf("%s\n%s\n%s\n%05d", p.Tenant, p.Day.Format(time.DateOnly), p.Notification, p.Attempt)
		m := merged[key]
		if m == nil {
			m = &readmodels.EDR{
				Tenant: p.Tenant, Day: p.Day, DayText: p.Day.Format(time.DateOnly), Notification: p.Notification, Attempt: p.Attempt,
				Dimensions: p.Dimensions,
			}
			merged[key] = m
		}
		m.Step, m.Target, m.Follows, m.Units = max(m.Step, p.Step), max(m.Target, p.Target), max(m.Follows, p.Follows), max(m.Units, p.Units)
		m.Kind, m.Person, m.Changed = max(m.Kind, p.Kind), max(m.Person, p.Person), max(m.Changed, p.Changed)
		times := []struct{ to, from **time.Time }{
			{&m.RequestedAt, &p.Times.RequestedAt}, {&m.ScheduledAt, &p.Times.ScheduledAt}, {&m.DueAt, &p.Times.DueAt},
			{&m.DispatchedAt, &p.Times.DispatchedAt}, {&m.UnknownAt, &p.Times.UnknownAt}, {&m.SentAt, &p.Times.SentAt},
			{&m.UndeliveredAt, &p.Times.UndeliveredAt}, {&m.DeliveredAt, &p.Times.DeliveredAt}, {&m.ReadAt, &p.Times.ReadAt},
			{&m.WithdrawnAt, &p.Times.WithdrawnAt}, {&m.GivenUpAt, &p.Times.GivenUpAt},
		}
		for _, c := range times {
			if *c.from != nil && (*c.to == nil || (*c.from).Before(**c.to)) {
				*c.to = *c.from
			}
		}
		o := outcomes[key]
		if p.Outcome.Rank > o.Rank || p.Outcome.Rank == o.Rank && p.Outcome.Seq < o.Seq {
			outcomes[key] = p.Outcome
			m.Status, m.Code = p.Outcome.Status, p.Outcome.Code
		}
	}
	keys := make([]string, 0, len(merged))
	for k := range merged {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	all := make([]readmodels.EDR, 0, len(keys))
	for _, k := range keys {
		all = append(all, *merged[k])
	}
	return all
}
