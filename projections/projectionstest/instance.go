package projectionstest

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/histories"
	"recapito/projections/reconcile"
)

// Store is the event store of a test.
type Store interface {
	follow.Source
	follow.CheckpointStore
}

// Instance follows every projection on a real store and a real engine.
type Instance struct {
	T         testing.TB
	Store     Store
	Author    *Author
	Histories *histories.Generator
	Conn      driver.Conn
	P         *follow.Projector
	Stop      func()
	Skew      time.Duration // the most by which the clocks of writers differ
	// Batch is the most events of a batch, and Span is the events of a span; 0: as in the
	// running system.
	Batch int
	Span  uint64
	Parts int // events and cells in a part that is compared; 0: as in the running system
	// Within bounds the wait until the tables are up to date; 0: a minute.
	Within time.Duration
}

// NewInstance makes an instance on a store, not started yet.
func NewInstance(t testing.TB, store Store) *Instance {
	t.Helper()
	i := &Instance{T: t, Store: store, Author: NewAuthor(t, 42)}
	var err error
	i.Histories, err = histories.New(histories.Options{Codec: i.Author.Codec, Seed: 42, Stories: 50})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// Small returns projections whose tables have spans of so many events; 0: as in the running
// system.
func Small(all []projections.Projection, span uint64) []projections.Projection {
	all = slices.Clone(all)
	for n := range all {
		all[n].Table.SpanSize = span
	}
	return all
}

// Start follows on the read models of a connection.
func (i *Instance) Start(conn driver.Conn) {
	i.T.Helper()
	i.StartOn(conn, follow.ClickHouse(conn, nil))
}

// StartOn follows on a target; conn reads what it holds.
func (i *Instance) StartOn(conn driver.Conn, target follow.Target) {
	i.T.Helper()
	var err error
	i.Conn = conn
	i.P, err = follow.New(follow.Config{
		Projections: Small(projections.All(i.Author.Codec, nil), i.Span), BatchEvents: i.Batch,
		Source: i.Store, Checkpoints: i.Store, Target: target, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		i.T.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); i.P.Run(ctx) }()
	i.Stop = func() { cancel(); <-done; i.Stop = func() {} }
	i.T.Cleanup(func() { i.Stop() })
}

// Write appends histories.
func (i *Instance) Write(appends int) {
	i.T.Helper()
	for range appends {
		a := i.Histories.Next()
		i.skewed(a.Events)
		if _, err := i.Store.Append(context.Background(), a.Stream, a.Expected(), a.Events); err != nil {
			i.T.Fatal(err)
		}
	}
}

// skewed stamps the events of an append by a handler's clock: recorded_at goes back
// between one append and the next.
func (i *Instance) skewed(events []event.New) {
	if i.Skew == 0 {
		return
	}
	ahead := time.Duration(i.Author.Random.Int64N(int64(2*i.Skew))) - i.Skew
	for j := range events {
		m, err := event.DecodeMetadata(events[j].Metadata)
		if err != nil {
			i.T.Fatal(err)
		}
		m.RecordedAt = m.RecordedAt.Add(ahead)
		if events[j].Metadata, err = event.EncodeMetadata(m); err != nil {
			i.T.Fatal(err)
		}
	}
}

// Settled waits until the tables are up to date.
func (i *Instance) Settled() {
	i.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(i.Within, time.Minute))
	defer cancel()
	if err := i.P.Settle(ctx); err != nil {
		i.T.Fatalf("%v: %+v", err, i.P.States())
	}
}

// Differences compares the tables with the store.
func (i *Instance) Differences() []string {
	i.T.Helper()
	r := &reconcile.Reconciler{
		Source: i.Store, Codec: i.Author.Codec, Conn: i.Conn, PartEvents: i.Parts, PartCells: i.Parts, SpanEvents: i.Span,
	}
	found, err := r.Run(context.Background())
	if err != nil {
		i.T.Fatal(err)
	}
	if found.Events > 0 && found.Rows == 0 {
		i.T.Error("nothing was compared")
	}
	var all []string
	for _, d := range found.Differences {
		all = append(all, d.String())
	}
	return all
}

// Complete waits until the tables are up to date, and wants them to be the store's fold.
func (i *Instance) Complete() {
	i.T.Helper()
	i.Settled()
	if found := i.Differences(); len(found) > 0 {
		i.T.Errorf("the read models are not the store's fold:\n%s", strings.Join(found, "\n"))
	}
}

// Table returns the table that a projection's view shows.
func (i *Instance) Table(projection string) string {
	i.T.Helper()
	all := projections.All(i.Author.Codec, nil)
	n := slices.IndexFunc(all, func(p projections.Projection) bool { return p.Name() == projection })
	if n < 0 {
		i.T.Fatalf("no projection %s", projection)
	}
	table, err := all[n].Table.Shown(context.Background(), i.Conn)
	i.Exec(err)
	return table
}

// Exec fails the test on an error.
func (i *Instance) Exec(err error) {
	i.T.Helper()
	if err != nil {
		i.T.Fatal(err)
	}
}

// Columns returns a table's columns and their types.
func (i *Instance) Columns(table string) []string {
	i.T.Helper()
	return i.Strings("SELECT name || ' ' || type FROM system.columns WHERE database = currentDatabase() AND table = '" + table + "' ORDER BY position")
}

// Strings returns the rows of a query of one text column.
func (i *Instance) Strings(query string) (all []string) {
	i.T.Helper()
	rows, err := i.Conn.Query(i.T.Context(), query)
	i.Exec(err)
	defer rows.Close()
	for rows.Next() {
		var one string
		i.Exec(rows.Scan(&one))
		all = append(all, one)
	}
	i.Exec(rows.Err())
	return all
}

// Ledger returns the store's ledger events.
func (i *Instance) Ledger() (all []event.Recorded) {
	i.T.Helper()
	read := event.AllRead{Filter: projections.LedgerFilter()}
	i.Exec(i.Store.ReadAll(context.Background(), read, func(r event.Recorded) error {
		all = append(all, r)
		return nil
	}))
	return all
}
