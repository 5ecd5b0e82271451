package bench

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
	"recapito/adapters/clickhouse/clickhousetest"
)

// The heap grows as that of `recapito serve` does (cmd/heap.go).
const (
	heapGrowth = 400
	heapTarget = 3 << 29
)

var (
	scratch string // where stores and engines are; TestMain removes it
	full    = os.Getenv("RECAPITO_BENCH_FULL") != ""
)

// sized answers the size of a measurement.
func sized[T any](small, large T) T {
	if full {
		return large
	}
	return small
}

func TestMain(m *testing.M) {
	os.Exit(clickhousetest.Run(func() int {
		debug.SetGCPercent(heapGrowth)
		debug.SetMemoryLimit(heapTarget)
		var err error
		if scratch, err = os.MkdirTemp("", "bench-readmodels"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		code := m.Run()
		if filled.log != nil {
			_ = filled.log.Close()
		}
		figures.print()
		return code
	}))
}

// readModels is an engine on a folder of its own, and a connection to it.
type readModels struct {
	driver.Conn
	child *clickhouse.Supervised
}

func newReadModels(b *testing.B) readModels {
	b.Helper()
	dir, err := os.MkdirTemp(scratch, "clickhouse")
	if err != nil {
		b.Fatal(err)
	}
	child := clickhousetest.Start(b, clickhousetest.Options(dir))
	conn := clickhousetest.Connect(b, child)
	r := readModels{Conn: conn, child: child}
	b.Cleanup(func() {
		if child.Restarts() > 0 {
			b.Errorf("the engine was started again %d times", child.Restarts())
		}
		_ = conn.Close()
		clickhousetest.Stop(b, child)
		_ = os.RemoveAll(dir)
	})
	return r
}

// memory is the most that a process had, in MiB.
func memory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Logf("no figure of a process's memory: %v", err)
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}

// say tells what long work is doing.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// progress answers a function that tells how far long work is, every few seconds.
func progress(what string) func(done, total uint64) {
	const every = 5 * time.Second
	began, last := time.Now(), time.Now()
	return func(done, total uint64) {
		if time.Since(last) < every {
			return
		}
		last = time.Now()
		rate := float64(done) / time.Since(began).Seconds()
		left := "?"
		if rate > 0 && total >= done {
			left = (time.Duration(float64(total-done)/rate) * time.Second).String()
		}
		say("%s: %d of %d, %.0f/s, %s left", what, done, total, rate, left)
	}
}

// figures are the results of the whole run.
var figures table

type table struct {
	mu   sync.Mutex
	rows []figure
}

type figure struct{ ratio, what, value, goal string }

// add notes a figure; a ratio of goals that a higher value meets is value/goal, of those
// that a lower one meets goal/value: 1 or more is met.
func (t *table) add(what string, ratio float64, value, goal string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := figure{what: what, value: value, goal: goal}
	if goal != "" {
		f.ratio = fmt.Sprintf("%.2f", ratio)
	}
	t.rows = append(t.rows, f)
	say("%s: %s %s", what, value, f.ratio)
}

// atLeast and atMost note a figure that has a goal.
func (t *table) atLeast(what string, value, goal float64, unit string) {
	t.add(what, value/goal, fmt.Sprintf("%.4g %s", value, unit), fmt.Sprintf("≥ %.4g", goal))
}

func (t *table) atMost(what string, value, goal float64, unit string) {
	t.add(what, goal/value, fmt.Sprintf("%.4g %s", value, unit), fmt.Sprintf("≤ %.4g", goal))
}

func (t *table) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "of goal\tfigure\tvalue\tgoal")
	for _, f := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.ratio, f.what, f.value, f.goal)
	}
	_ = w.Flush()
}
