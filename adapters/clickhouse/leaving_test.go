package clickhouse_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Clients that leave at any moment of their statement leave nothing behind that holds a
// table or a place: a DROP would wait for it, and every insert for the DROP.
func TestClientsThatLeaveAtAnyMoment(t *testing.T) {
	base := own(t, t.TempDir()).URL()
	post(t, base, nil, "CREATE TABLE left (tenant String DEFAULT '', n UInt64) ENGINE = MergeTree ORDER BY n")
	post(t, base, nil, "INSERT INTO left (n) SELECT number FROM numbers(100000)")
	var clients sync.WaitGroup
	const each = 250
	for range 4 {
		clients.Go(func() {
			for range each {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(10*time.Millisecond))))
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/?"+q("query", "SELECT n, sum(n) FROM left WHERE n % 7 = 3 GROUP BY n").Encode(), nil)
				if err != nil {
					t.Error(err)
				} else if resp, err := http.DefaultClient.Do(r); err == nil {
					_ = resp.Body.Close()
				}
				cancel()
			}
		})
	}
	clients.Wait()
	began := time.Now()
	if a := post(t, base, nil, "DROP TABLE left SYNC"); a.status != http.StatusOK {
		t.Errorf("drop: %d %s", a.status, a.body)
	}
	t.Logf("the table was dropped within %s", time.Since(began))
	eventually(t, "no statement runs but the one that asks", func() bool {
		return post(t, base, nil, "SELECT count() FROM system.processes").body == "1\n"
	})
}
