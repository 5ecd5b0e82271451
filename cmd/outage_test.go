package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"recapito/cmd/instance"
	"recapito/commands/retry"
	"recapito/domain/tenant"
)

// A ClickHouse that hangs, is down or is slow under traffic: accepting and delivering go
// on as before, what is behind is reported, and nothing is missing afterwards.
// RECAPITO_TEST_OUTAGE is how long it is away. How fast requests are accepted meanwhile is
// compared only then, or if RECAPITO_TEST_FULL is set: it needs a machine that does little
// else. The short form wants every request accepted and delivered.
func TestClickHouseAway(t *testing.T) {
	if thorough("RECAPITO_TEST_OUTAGE") {
		inEveryWorld(t, clickHouseAway)
		return
	}
	t.Parallel()
	t.Run("outside", func(t *testing.T) {
		t.Parallel()
		clickHouseAway(t, engineWorld(t))
	})
}

const (
	trafficRate  = 20 // a second
	calmFor      = 6 * time.Second
	shortCalmFor = 2 * time.Second
	hangsFor     = 30 * time.Second // the embedded engine
	downFor      = 12 * time.Second // the one outside
	shortDownFor = 5 * time.Second
	stall        = 250 * time.Millisecond
	deliveryTime = 3 * time.Second // from a 202 to a delivery, on a machine that does much else
)

func outage(t *testing.T, w *world) time.Duration {
	t.Helper()
	if asked := os.Getenv("RECAPITO_TEST_OUTAGE"); asked != "" {
		d, err := time.ParseDuration(asked)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	switch {
	case !w.outside():
		return hangsFor
	case thorough("RECAPITO_TEST_FULL"):
		return downFor
	}
	return shortDownFor
}

func clickHouseAway(t *testing.T, w *world) {
	_, smsc := startSMSC(t, w.dir, "127.0.0.1:0", "--receipt-delay", "50ms", "--receipt-spread", "100ms")
	l := openHere(t, w.config(smsc, ""))
	traffic := newTraffic(t, l)
	measured, calm := thorough("RECAPITO_TEST_OUTAGE"), shortCalmFor
	if measured {
		calm = calmFor
	}
	before := traffic.phase("before", calm)

	length := outage(t, w)
	back := w.takeClickHouseAway(l)
	began, rows := time.Now(), rowsOf(t, l)
	away := traffic.phase("ClickHouse away", length)
	wantBehind(t, l, began, rows)
	back()
	if !w.outside() {
		w.slow(l)
	}
	after := traffic.phase("after", calm)

	for _, p := range []phase{away, after} {
		// Who waits for ClickHouse waits for seconds. Less is the machine's noise: the tests
		// of other packages run next to this one, and afterwards six tables catch up at once.
		if p.failed > 0 || measured && p.median() > 3*before.median()+stall {
			t.Errorf("%s: it was not accepted as before: %d failures", p, p.failed)
		}
		if measured && p.delivered < p.early*before.delivered/max(before.early, 1)*9/10 {
			t.Errorf("%s: it was not delivered as before", p)
		}
		t.Log(before.String() + "; " + p.String())
	}
	ids := traffic.stop()
	eventually(t, time.Minute+length/20, func() error { return caughtUp(t, l) })
	wantComplete(t, l, filepath.Join(w.dir, "smsc"), ids)
}

// takeClickHouseAway makes ClickHouse answer nobody, until the function it returns is called:
// the one outside dies, the embedded one hangs, and so does each that is started after it.
func (w *world) takeClickHouseAway(l *instance.Instance) (back func()) {
	w.t.Helper()
	if w.outside() {
		w.clickHouse.now.kill()
		return w.clickHouse.start
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for hung := 0; ctx.Err() == nil; _ = retry.Wait(ctx, 10*time.Millisecond) {
			if pid := l.Engines.ClickHouse.PID(); pid != hung && pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
				hung = pid
			}
		}
		_ = syscall.Kill(l.Engines.ClickHouse.PID(), syscall.SIGCONT)
	}()
	return func() { cancel(); <-done }
}

// slow pauses the embedded engine for a second and a half of every two.
func (w *world) slow(l *instance.Instance) {
	for range 4 {
		pid := l.Engines.ClickHouse.PID()
		if pid == 0 { // it was killed for hanging, and starts
			_ = retry.Wait(w.t.Context(), 2*time.Second)
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		_ = retry.Wait(w.t.Context(), 1500*time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGCONT)
		_ = retry.Wait(w.t.Context(), 500*time.Millisecond)
	}
}

// rowsOf returns how many ledger events each projection's table has.
func rowsOf(t *testing.T, l *instance.Instance) map[string]float64 {
	return gaugesOf(t, l, "projection_events")
}

// gaugesOf reads a metric of every projection.
func gaugesOf(t *testing.T, l *instance.Instance, name string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	line := regexp.MustCompile(`(?m)^recapito_` + name + `\{projection="([a-z_]+)"\} (\S+)$`)
	for _, m := range line.FindAllStringSubmatch(get(t, "http://"+l.RunFile.Metrics+"/metrics"), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = n
	}
	if len(all) == 0 {
		t.Fatalf("the metrics do not tell recapito_%s", name)
	}
	return all
}

// wantBehind wants the metrics to say what is missing in each table, and since when, and
// the instance to be degraded, not dead.
func wantBehind(t *testing.T, l *instance.Instance, began time.Time, rows map[string]float64) {
	t.Helper()
	eventually(t, 10*time.Second, func() error {
		status, engines := readiness(t, l)
		if status != "degraded" || engines["clickhouse"].State != "down" {
			return fmt.Errorf("/readyz says %s, ClickHouse is %s", status, engines["clickhouse"].State)
		}
		return nil
	})
	away := time.Since(began) // the lag is at least that, once it was looked at anew
	eventually(t, time.Minute, func() error {
		now, behind, lag := rowsOf(t, l), gaugesOf(t, l, "projection_waiting_events"), gaugesOf(t, l, "projection_lag_seconds")
		late := time.Since(began)
		total := 0.0
		for name := range now {
			total = max(total, now[name]+behind[name])
		}
		for name := range now {
			if behind[name] <= 0 || now[name]+behind[name] < 0.9*total {
				return fmt.Errorf("%s: %v events in the table and %v behind, of %v", name, now[name], behind[name], total)
			}
			// An engine that was started again may have taken a batch before it hung.
			if now[name] == rows[name] && (lag[name] < away.Seconds() || lag[name] > late.Seconds()+20) {
				return fmt.Errorf("%s: it says %v s, ClickHouse is away for %v", name, lag[name], late)
			}
		}
		return nil
	})
}

func readiness(t *testing.T, l *instance.Instance) (string, map[string]struct{ State, Detail string }) {
	t.Helper()
	var body struct {
		Status  string
		Engines map[string]struct{ State, Detail string }
	}
	if err := json.Unmarshal([]byte(get(t, "http://"+l.RunFile.HTTP+"/readyz")), &body); err != nil {
		t.Fatal(err)
	}
	return body.Status, body.Engines
}

func caughtUp(t *testing.T, l *instance.Instance) error {
	t.Helper()
	for name, behind := range gaugesOf(t, l, "projection_waiting_events") {
		if behind != 0 {
			return fmt.Errorf("%s is %v events behind", name, behind)
		}
	}
	if status, engines := readiness(t, l); status != "ready" {
		return fmt.Errorf("/readyz says %s: %v", status, engines)
	}
	return nil
}

// traffic sends requests one by one at a fixed rate.
type traffic struct {
	t    *testing.T
	l    *instance.Instance
	end  context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	sent []request
}

type request struct {
	id   string
	at   time.Time
	took time.Duration
	err  error
}

// phase is what became of the requests of a while.
type phase struct {
	name      string
	took      []time.Duration
	failed    int
	early     int // accepted long enough before its end to be delivered by then
	delivered int // of those
}

func (p phase) median() time.Duration {
	if len(p.took) == 0 {
		return 0
	}
	return p.took[len(p.took)/2]
}

func (p phase) String() string {
	return fmt.Sprintf("%s: %d accepted, half of them within %s, 99%% within %s, %d of %d delivered by its end", p.name, len(p.took),
		p.median().Round(100*time.Microsecond), p.took[len(p.took)*99/100].Round(100*time.Microsecond), p.delivered, p.early)
}

func newTraffic(t *testing.T, l *instance.Instance) *traffic {
	ctx, end := context.WithCancel(t.Context())
	f := &traffic{t: t, l: l, end: end, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		c := newClient(l.RunFile, tenant.Default)
		var senders errgroup.Group
		tick := time.NewTicker(time.Second / trafficRate)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			senders.Go(func() error {
				r := request{at: time.Now()}
				var accepted summary
				body := map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}}}
				r.err = c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted)
				r.id, r.took = accepted.ID, time.Since(r.at)
				f.mu.Lock()
				defer f.mu.Unlock()
				f.sent = append(f.sent, r)
				return nil
			})
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
		_ = senders.Wait() // none errs
	}()
	t.Cleanup(func() { end(); <-f.done })
	return f
}

// phase lets the traffic go on for a while and returns what became of it.
func (f *traffic) phase(name string, length time.Duration) phase {
	f.t.Helper()
	began := time.Now()
	_ = retry.Wait(f.t.Context(), length)
	p := phase{name: name}
	for _, r := range f.since(began) {
		if r.err != nil {
			p.failed++
			f.t.Logf("%s: %v", name, r.err)
			continue
		}
		p.took = append(p.took, r.took)
		if time.Since(r.at) < deliveryTime {
			continue
		}
		p.early++
		got, err := f.l.Notifications.Get(f.t.Context(), tenant.Default, r.id)
		if err != nil {
			f.t.Fatal(err)
		}
		if got.State.Final() {
			p.delivered++
		}
	}
	if len(p.took) == 0 {
		f.t.Fatal(errors.New(name + ": nothing was accepted"))
	}
	slices.Sort(p.took)
	return p
}

func (f *traffic) since(began time.Time) []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []request
	for _, r := range f.sent {
		if r.at.After(began) {
			all = append(all, r)
		}
	}
	return all
}

// stop returns the ids of all that was accepted.
func (f *traffic) stop() []string {
	f.end()
	<-f.done
	var ids []string
	for _, r := range f.since(time.Time{}) {
		if r.err == nil {
			ids = append(ids, r.id)
		}
	}
	return ids
}
