package follow_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"recapito/domain/event"
	"recapito/readmodels"
)

// warehouse is a model of ClickHouse: tables of rows as they were written, a view a
// projection, a generation. What it has survives the processes that write to it.
type warehouse struct {
	mu         sync.Mutex
	generation int
	tables     map[string][]readmodels.Row
	views      map[string]string              // projection → table
	spans      map[string]map[uint64]cellSums // table → span → sums of it
	batches    map[string]map[uint64]batchSeen
	complete   map[string]readmodels.Completeness
	foreign    bool     // tables of a database from before are there
	stray      bool     // an instance killed while it opened may have made a table that another had dropped
	wrong      []string // what must not have happened
	slow       bool
	endless    bool // a query runs that never ends
	away       atomic.Bool
}

// batchSeen is the batch that an event's row came with first.
type batchSeen struct {
	token string
	rows  int
}

func newWarehouse() *warehouse {
	w := &warehouse{}
	w.wipe(false)
	return w
}

// wipe empties everything; tables that remain, empty, stand for those of a database
// brought back from before.
func (w *warehouse) wipe(tablesRemain bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.generation++
	kept := map[string][]readmodels.Row{}
	if tablesRemain {
		for name := range w.tables {
			kept[name], w.foreign = nil, true
		}
	}
	w.tables, w.views, w.batches = kept, map[string]string{}, map[string]map[uint64]batchSeen{}
	w.spans = map[string]map[uint64]cellSums{}
	w.complete = map[string]readmodels.Completeness{}
}

// sameBatch checks that an event comes to a table in one batch only, repeated or not:
// the same events, under the same token or, where it is repeated, without one.
func (w *warehouse) sameBatch(table, token string, rows []readmodels.Row) {
	seen := w.batches[table]
	if seen == nil {
		seen = map[uint64]batchSeen{}
		w.batches[table] = seen
	}
	for _, r := range rows {
		e, ok := r.(readmodels.EventRow)
		if !ok {
			continue
		}
		before, again := seen[e.Seq]
		if token == "" { // repeated
			token = before.token
		}
		if again && before != (batchSeen{token, len(rows)}) {
			w.wrong = append(w.wrong, fmt.Sprintf("seq %d came in batch %v and in %s of %d rows", e.Seq, before, token, len(rows)))
		}
		seen[e.Seq] = batchSeen{token, len(rows)}
	}
}

func (w *warehouse) show(kind readmodels.Table, table string) error {
	rows, ok := w.tables[table]
	if !ok {
		return fmt.Errorf("no table %s", table)
	}
	if shown := w.views[kind.Projection]; shown != "" && shown != table && kind.Projection == "events" {
		there := map[uint64]bool{}
		for _, r := range rows {
			there[r.(readmodels.EventRow).Seq] = true
		}
		for _, r := range w.tables[shown] {
			if seq := r.(readmodels.EventRow).Seq; !there[seq] {
				w.wrong = append(w.wrong, fmt.Sprintf("a swap took away seq %d", seq))
			}
		}
	}
	w.views[kind.Projection] = table
	return nil
}

func (w *warehouse) view(projection string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.views[projection]
}

// shown are the rows that a projection's view shows, unmerged.
func (w *warehouse) shown(projection string) []readmodels.Row {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.tables[w.views[projection]])
}

// chaos fails what a process asks of others, before or after it was carried out, and
// kills the process.
type chaos struct {
	mu     sync.Mutex
	random *rand.Rand
	often  float64
	spare  bool // never kill
	killed bool
	kill   context.CancelFunc
	late   []func() // what a killed process had asked for and is carried out after its end
}

var errChaos = errors.New("no answer")

type fate int

const (
	fine fate = iota
	refused
	lostAnswer
	dead
)

func (c *chaos) fate() fate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return dead
	}
	if c.random.Float64() >= c.often {
		return fine
	}
	switch n := c.random.IntN(5); {
	case n < 2 || c.spare:
		return refused
	case n < 4:
		return lostAnswer
	}
	c.killed = true
	c.kill()
	return []fate{refused, lostAnswer}[c.random.IntN(2)]
}

func (c *chaos) do(act func() error) error {
	switch c.fate() {
	case fine:
		return act()
	case lostAnswer:
		_ = act()
		return errChaos
	}
	return errChaos
}

// peer is the store as one process sees it.
type peer struct {
	*memory
	chaos *chaos
}

func (p peer) Append(ctx context.Context, stream string, expected event.Expected, events []event.New) (a event.Appended, err error) {
	err = p.chaos.do(func() error { a, err = p.memory.Append(ctx, stream, expected, events); return err })
	return a, err
}

func (p peer) ReadStream(ctx context.Context, read event.StreamRead, visit func(event.Recorded) error) error {
	return p.chaos.do(func() error { return p.memory.ReadStream(ctx, read, visit) })
}

func (p peer) ReadAll(ctx context.Context, read event.AllRead, visit func(event.Recorded) error) error {
	return p.memory.ReadAll(ctx, read, func(r event.Recorded) error {
		if f := p.chaos.fate(); f != fine && f != lostAnswer {
			return errChaos
		}
		return visit(r)
	})
}

func (p peer) Subscribe(ctx context.Context, sub event.Subscription, h event.Handler) error {
	deliver := h.Event
	h.Event = func(r event.Recorded) error {
		if f := p.chaos.fate(); f != fine && f != lostAnswer {
			return errChaos
		}
		return deliver(r)
	}
	return p.memory.Subscribe(ctx, sub, h)
}

// stock is the warehouse as one process sees it: a follow.Target.
type stock struct {
	*warehouse
	chaos *chaos
}

func (s stock) do(act func() error) error {
	if s.away.Load() {
		return errChaos
	}
	return s.chaos.do(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return act()
	})
}

func (s stock) Open(context.Context) (generation string, err error) {
	err = s.do(func() error { generation = fmt.Sprintf("g%d", s.generation); return nil })
	return generation, err
}

func (s stock) Generation(ctx context.Context) (string, error) { return s.Open(ctx) }

func (s stock) SetCompleteness(_ context.Context, rows []readmodels.Completeness) error {
	return s.do(func() error {
		for _, r := range rows {
			s.complete[r.Projection] = r
		}
		return nil
	})
}

func (s stock) Completeness(context.Context) (all []readmodels.Completeness, err error) {
	err = s.do(func() error { all = slices.Collect(maps.Values(s.complete)); return nil })
	return all, err
}

func (s stock) Exists(_ context.Context, table string) (ok bool, err error) {
	err = s.do(func() error { _, ok = s.tables[table]; return nil })
	return ok, err
}

func (s stock) Create(_ context.Context, _ readmodels.Table, table string) error {
	return s.do(func() error {
		if _, ok := s.tables[table]; !ok {
			s.tables[table] = nil
		}
		return nil
	})
}

func (s stock) Show(_ context.Context, kind readmodels.Table, table string) error {
	return s.do(func() error { return s.show(kind, table) })
}

func (s stock) Shown(_ context.Context, kind readmodels.Table) (table string, err error) {
	err = s.do(func() error { table = s.views[kind.Projection]; return nil })
	return table, err
}

// Queries are one at any time, which lasts for three seconds, and the endless one.
func (s stock) Queries(context.Context) (ids []string, err error) {
	err = s.do(func() error {
		ids = []string{fmt.Sprint("query-", time.Now().Unix()/3)}
		if s.endless {
			ids = append(ids, "endless")
		}
		return nil
	})
	return ids, err
}

func (s stock) Drop(_ context.Context, table string) error {
	return s.do(func() error { delete(s.tables, table); delete(s.spans, table); return nil })
}

// Sum adds up a span from what its batches hold now.
func (s stock) Sum(_ context.Context, _ readmodels.Table, table string, span uint64) error {
	return s.do(func() error {
		rows, ok := s.tables[table]
		if !ok {
			return fmt.Errorf("no table %s", table)
		}
		if s.spans[table] == nil {
			s.spans[table] = map[uint64]cellSums{}
		}
		s.spans[table][span] = s.batchSums(rows, func(first uint64) bool { return first/modelSpan == span })
		return nil
	})
}

// modelSpan is how many events a span has here.
const modelSpan = 32

// cellSums are sums by cell: of accounting, or of rollups with the count as messages.
type cellSums map[any]readmodels.AccountingSums

func (c cellSums) add(cell any, sums readmodels.AccountingSums) {
	s := c[cell]
	s.Add(1, sums)
	c[cell] = s
}

func sumOf(row readmodels.Row) (cell any, sums readmodels.AccountingSums, first uint64) {
	switch r := row.(type) {
	case readmodels.AccountingRow:
		return r.AccountingCell, r.AccountingSums, r.FirstSeq
	case readmodels.RollupRow:
		return r.RollupCell, readmodels.AccountingSums{Messages: r.N}, r.FirstSeq
	}
	panic("not a row of sums")
}

// batchSums adds up batches, each once.
func (w *warehouse) batchSums(rows []readmodels.Row, which func(first uint64) bool) cellSums {
	type key struct {
		cell  any
		first uint64
	}
	seen := map[key]readmodels.Row{}
	sums := cellSums{}
	for _, r := range rows {
		cell, sum, first := sumOf(r)
		k := key{cell, first}
		if before, again := seen[k]; again {
			if before != r {
				w.wrong = append(w.wrong, fmt.Sprintf("a batch from seq %d came twice with other sums", first))
			}
			continue
		}
		seen[k] = r
		if which(first) {
			sums.add(cell, sum)
		}
	}
	return sums
}

// sums are what the view shows: whole spans, and the batches after them.
func (w *warehouse) sums(projection string) cellSums {
	table := w.views[projection]
	whole := uint64(0)
	for span := range w.spans[table] {
		whole = max(whole, span+1)
	}
	sums := w.batchSums(w.tables[table], func(first uint64) bool { return first >= whole*modelSpan })
	for span := range whole {
		for cell, sum := range w.spans[table][span] {
			sums.add(cell, sum)
		}
	}
	for cell, s := range sums {
		if s == (readmodels.AccountingSums{}) {
			delete(sums, cell)
		}
	}
	return sums
}

// Insert writes every row twice, for no token is looked at; a failed one writes some of
// the rows, and one of a killed process may come in after its end. A slow warehouse now
// and then has what is written for a while before the writer is told.
func (s stock) Insert(_ context.Context, _ readmodels.Table, table, token string, rows []readmodels.Row) error {
	if s.away.Load() {
		return errChaos
	}
	s.mu.Lock()
	s.sameBatch(table, token, rows)
	s.mu.Unlock()
	write := func(rows []readmodels.Row) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, ok := s.tables[table]; !ok {
			return fmt.Errorf("no table %s", table)
		}
		s.tables[table] = append(s.tables[table], rows...)
		return nil
	}
	switch s.chaos.fate() {
	case fine:
		err := errors.Join(write(rows), write(rows))
		if s.slow && s.chaos.upTo(4) == 0 {
			time.Sleep(time.Duration(s.chaos.upTo(300)) * time.Millisecond)
		}
		return err
	case lostAnswer:
		_ = write(rows[:s.chaos.upTo(len(rows)+1)])
	case refused:
		s.chaos.later(func() { _ = write(rows) })
	case dead:
	}
	return errChaos
}

func (c *chaos) upTo(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

func (c *chaos) later(act func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, act)
}

func (c *chaos) carryOutLate() {
	c.mu.Lock()
	late := c.late
	c.late = nil
	c.mu.Unlock()
	for _, act := range late {
		act()
	}
}

// set reports how often something fails from now on, and whether kills are among it.
func (c *chaos) set(often float64, kills bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.often, c.spare = often, !kills
}
