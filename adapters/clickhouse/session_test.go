package clickhouse_test

import (
	"fmt"
	"sync"
	"testing"
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

// Many requests at once, each with an answer of its own.
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
