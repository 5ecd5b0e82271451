package clickhouse_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"recapito/adapters/clickhouse"
)

// What one request sets, no other sees, whichever of them fails.
func TestSessionsDoNotLeak(t *testing.T) {
	base := engine(t).URL()
	probe := "SELECT currentDatabase(), getSetting('max_threads') = 63, getSetting('readonly'), " +
		"(SELECT count() FROM system.tables WHERE is_temporary)"
	const clean = "recapito\t0\t0\t0\n"
	leaks := []func() answer{
		func() answer { return post(t, base, nil, "USE system") },
		func() answer { return post(t, base, nil, "SET max_threads = 63") },
		func() answer { return post(t, base, nil, "SET readonly = 1") },
		func() answer { return post(t, base, nil, "SET param_p = 'leaked'") },
		func() answer { return post(t, base, nil, "CREATE TEMPORARY TABLE leaked (a Int8)") },
		func() answer { return post(t, base, q("database", "system", "max_threads", "63"), "SELECT 1") },
		func() answer {
			return post(t, base, q("database", "system", "max_threads", "63", "readonly", "1"), "SELECT * FROM nosuch")
		},
		func() answer {
			return post(t, base, q("max_threads", "63", "param_p", "leaked"), "SELECT throwIf(number = 2, {p:String}) FROM numbers(3)")
		},
		func() answer { return get(t, base, q("query", "SELECT 1", "max_threads", "63")) },
	}
	check := func(i int) {
		if a := post(t, base, nil, probe); a.body != clean {
			t.Errorf("after leak %d: %d %q", i, a.status, a.body)
		}
		if a := post(t, base, nil, "SELECT {p:String}"); a.code() != "456" {
			t.Errorf("after leak %d a parameter is left: %d %s", i, a.status, a.body)
		}
	}
	for i, leak := range leaks {
		leak()
		check(i)
	}
	// The same side by side.
	var wait sync.WaitGroup
	for i, leak := range leaks {
		wait.Go(func() {
			for range 20 {
				leak()
			}
		})
		wait.Go(func() {
			for range 20 {
				check(i)
			}
		})
	}
	wait.Wait()
}

// Many requests at once, each with a response of its own.
func TestManyAtOnce(t *testing.T) {
	base := engine(t).URL()
	var wait sync.WaitGroup
	for i := range 64 {
		wait.Go(func() {
			for j := range 20 {
				want := fmt.Sprintf("%d\n", 1000*i+j)
				a, err := send("POST", base, q("param_n", fmt.Sprint(1000*i+j)), "SELECT {n:UInt32}")
				if err != nil || a.body != want {
					t.Errorf("%v, %d %q, want %q", err, a.status, a.body, want)
					return
				}
			}
		})
	}
	wait.Wait()
}

// However many readers of however many tenants ask, the ledger is not kept waiting.
func TestReadersLeaveRoomForTheWriter(t *testing.T) {
	needLibrary(t)
	const tenants, each = 5, 8
	o := childOptions(t.TempDir())
	for i := range tenants {
		o.Readers = append(o.Readers, clickhouse.Reader{Name: fmt.Sprintf("r%d", i), Tenant: fmt.Sprint(i)})
	}
	s := start(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	bare := "http://" + strings.SplitN(s.URL(), "@", 2)[1]
	for i := range tenants * each {
		readers.Go(func() {
			params := q("user", fmt.Sprintf("r%d", i%tenants), "max_block_size", "1", "query", "SELECT sleepEachRow(1) FROM numbers(50) WHERE 'asleep' != ''")
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, bare+"/?"+params.Encode(), nil)
			if err != nil {
				t.Error(err)
			} else if resp, err := http.DefaultClient.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	eventually(t, "as many readers' statements run as may", func() bool {
		return post(t, s.URL(), nil, "SELECT count() FROM system.processes WHERE query LIKE '%asleep%' AND query NOT LIKE '%processes%'").body == "24\n"
	})
	began := time.Now()
	if a := post(t, s.URL(), nil, "SELECT 1"); a.status != 200 {
		t.Errorf("the writer is answered %d %s", a.status, a.body)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the writer waited %s", took)
	}
}
