package follow_test

import (
	"context"
	"testing"
	"time"

	"recapito/adapters/clickhouse/clickhousetest"
)

// A table that was replaced stays while a query that began before the exchange runs, and is
// dropped when the query has ended.
func TestAReplacedTableOutlivesTheQueriesThatCouldNameIt(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 32, 64
	conn := clickhousetest.New(t)
	i.Start(conn)
	i.Write(60)
	i.Settled()
	old := i.Table("edr")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { // far longer than the test, but for its cancelling
		rows, err := conn.Query(ctx, "SELECT sleepEachRow(1) FROM numbers(100) SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 3000000")
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			_ = rows.Close()
		}
		ended <- err
	}()
	i.eventually("the query runs", func() bool {
		return len(i.Strings("SELECT query_id FROM system.processes WHERE query LIKE '%sleepEachRow%' AND query_id != queryID()")) == 1
	})
	there := func(table string) bool {
		return len(i.Strings("SELECT name FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'")) == 1
	}
	i.Exec(i.P.Rebuild(t.Context(), "edr", nil))
	// The queries of another exchange are listed, and nothing is dropped, while it runs.
	i.Exec(i.P.Rebuild(t.Context(), "edr", nil))
	i.Settled()
	if !there(old) {
		t.Errorf("%s was dropped while a query runs that began before the exchange", old)
	}
	select {
	case err := <-ended:
		t.Fatalf("the query has ended by itself: %v", err)
	default:
	}
	cancel()
	<-ended
	i.eventually("the replaced table is dropped", func() bool { return !there(old) })
	if now := i.Table("edr"); now == old || !there(now) {
		t.Errorf("the view shows %s", now)
	}
}

// A query that began before the exchange and never ends keeps the replaced table for a
// minute: it resolved its tables long ago.
func TestAReplacedTableIsNotKeptForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, s *system) {
		s.write(20)
		s.start()
		time.Sleep(settle)
		old := s.house.view("edr")
		s.house.mu.Lock()
		s.house.endless = true
		s.house.mu.Unlock()
		if err := s.projections.Rebuild(t.Context(), "edr", nil); err != nil {
			t.Fatal(err)
		}
		there := func() bool {
			s.house.mu.Lock()
			defer s.house.mu.Unlock()
			_, ok := s.house.tables[old]
			return ok
		}
		time.Sleep(50 * time.Second)
		if !there() {
			t.Error("it was dropped while a query ran")
		}
		time.Sleep(time.Minute)
		if there() {
			t.Error("two minutes later it is still there")
		}
	})
}

// patience bounds a wait on a condition.
const patience = 2 * time.Minute

// eventually waits until a condition holds.
func (i *instance) eventually(what string, holds func() bool) {
	i.T.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			i.T.Fatalf("not in time: %s", what)
		}
	}
}
