package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"recapito/adapters/clickhouse"
	"recapito/adapters/smpp/sandbox"
	"recapito/cmd/config"
	"recapito/cmd/instance"
	"recapito/domain/notification"
	"recapito/domain/tenant"
	"recapito/projections"
	"recapito/readmodels"
)

const completeWithin = 4 * time.Minute

// So many notifications are sent while processes die: few by default, all of them where
// RECAPITO_TEST_FULL or RECAPITO_TEST_KILLS asks for it.
const (
	allNotifications = 2000
	fewNotifications = 300
	perBatch         = 25
)

func (w *world) notifications() int {
	if !thorough("RECAPITO_TEST_KILLS") {
		return fewNotifications
	}
	return allNotifications * max(1, kills(w.t)/10)
}

// fullKills is how often a test kills the instance, and how often ClickHouse in it, if
// RECAPITO_TEST_FULL asks for it; else it does so once.
const fullKills = 3

// kills is the same, if RECAPITO_TEST_KILLS does not ask for more.
func kills(t *testing.T) int {
	t.Helper()
	asked := os.Getenv("RECAPITO_TEST_KILLS")
	switch {
	case asked == "" && thorough("RECAPITO_TEST_FULL"):
		return fullKills
	case asked == "":
		return 1
	}
	n, err := strconv.Atoi(asked)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const troubledRoute = "      window: 32\n    policy: {wire_limit: 8s, redispatch: 3s, unknown_limit: 10s}\n"

// troubledSMSC starts a simulator that takes five seconds for all of a test's messages.
func (w *world) troubledSMSC(dir string) (addr string) {
	w.t.Helper()
	_, addr = startSMSC(w.t, dir, "127.0.0.1:0", "--receipt-delay", "200ms", "--receipt-spread", "800ms", "--undelivered", "0.05",
		"--rate", strconv.Itoa(w.notifications()/5))
	return addr
}

// Nothing that got a 202 is lost, stuck or sent twice, and nothing is wrong in the read
// models, however often a process dies: the instance and ClickHouse in it, three times
// each (once in the short form), then both at once, while all tables are rebuilt; or the instance and each engine
// outside.
func TestKilledThreeTimes(t *testing.T) {
	inEveryWorld(t, func(t *testing.T, w *world) {
		config := w.config(w.troubledSMSC(w.dir), troubledRoute)
		i := &served{w: w, config: config}
		i.start()
		var before []string
		if !w.outside() {
			before = i.tables()
		}
		var strikes []func()
		for range kills(t) {
			strikes = append(strikes, i.rebuild, i.strikeClickHouse, i.strike)
		}
		if w.outside() {
			strikes = []func(){i.strike, w.store.strike, w.broker.strike, w.clickHouse.strike}
			if thorough("RECAPITO_TEST_FULL") {
				strikes = append(strikes, i.strike, i.strike)
			}
		}
		ids := w.sendWhile(strikes, i.client)
		if !w.outside() {
			i.strikeClickHouse()
		}
		i.now.kill()
		if w.outside() && w.broker.apache == nil {
			// Ours never puts out a member that died while it joined; it forgets all of them.
			w.broker.strike()
		}
		l := openHere(t, config)
		wantComplete(t, l, filepath.Join(w.dir, "smsc"), ids)
		if !w.outside() {
			wantRebuilt(t, l, before)
		}
	})
}

// tables returns the tables that projections fill, once all are made.
func (s *served) tables() (all []string) {
	t := s.w.t
	t.Helper()
	i := instanceOf(t, s.now, s.dir)
	conn, err := clickhouse.Open("http://" + clickhouse.Writer + ":" + i.ClickHousePassword + "@" + i.ClickHouse)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	eventually(t, time.Minute, func() (err error) {
		if all, err = tablesIn(t.Context(), conn); len(all) < len(projections.Names) {
			return errors.Join(fmt.Errorf("there are only %v", all), err)
		}
		return err
	})
	return all
}

func tablesIn(ctx context.Context, conn readmodels.Conn) (all []string, err error) {
	const query = `SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase() AND match(name, '_v[0-9]+_[0-9a-z]+$')`
	err = conn.QueryRow(ctx, query).Scan(&all)
	return all, err
}

// wantRebuilt wants the rebuilds that were begun to have ended, in other tables than those
// of before, which are gone.
func wantRebuilt(t *testing.T, l *instance.Instance, before []string) {
	t.Helper()
	eventually(t, completeWithin, func() error {
		for _, s := range l.Projections.States() {
			if s.Rebuild != nil {
				return fmt.Errorf("%s is still being rebuilt: %+v", s.Projection, *s.Rebuild)
			}
		}
		now, err := tablesIn(t.Context(), l.Engines.Read)
		if err != nil {
			return err
		}
		if len(now) != len(projections.Names) {
			return fmt.Errorf("there are %v", now)
		}
		for _, name := range before {
			if slices.Contains(now, name) {
				return fmt.Errorf("%s was never rebuilt", name)
			}
		}
		return nil
	})
	for _, problem := range l.TableProblems(t.Context()) {
		if problem != nil {
			t.Error(problem)
		}
	}
}

// wantComplete wants every notification final, at the simulator no segment again but a
// throttled one, and the read models equal to a fold of the events.
func wantComplete(t *testing.T, l *instance.Instance, smsc string, ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), completeWithin)
	defer cancel()
	final, err := l.WaitFinal(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := sandbox.ReadJournal(smsc)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range append(instance.JournalProblems(final, journal), l.TableProblems(t.Context())...) {
		if problem != nil {
			t.Error(problem)
		}
	}
	if t.Failed() { // what it waited for, if it did
		t.Logf("projections: %+v\n%s", l.Projections.States(), goroutinesIn("recapito/projections/follow."))
	}
	unknown := 0
	for _, s := range final {
		for _, a := range s.Attempts {
			if !a.UnknownAt.IsZero() {
				unknown++
			}
			if a.Status == notification.Dispatched {
				t.Errorf("an attempt of a final notification is dispatched")
			}
		}
	}
	t.Logf("%d final, %d unknown outcomes said, %d messages on the wire", len(final), unknown, len(journal))
}

// goroutinesIn returns the stacks that pass through a package.
func goroutinesIn(within string) string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	all := slices.DeleteFunc(strings.Split(string(stacks), "\n\n"), func(one string) bool { return !strings.Contains(one, within) })
	return strings.Join(all, "\n\n")
}

// served is `recapito serve`, found again after each start.
type served struct {
	w      *world
	dir    string // the world's, if empty
	config string
	now    *process
	mu     sync.Mutex
	found  *client
}

func (s *served) start() {
	s.w.t.Helper()
	if s.dir == "" {
		s.dir = s.w.dir
	}
	s.now = startWith(s.w.t, s.w.env, "serve", "--config", s.config)
	found := newClient(instanceOf(s.w.t, s.now, s.dir), tenant.Default)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = found
}

// strike kills it and starts it again.
func (s *served) strike() {
	s.w.t.Helper()
	s.now.kill()
	s.start()
}

// strikeClickHouse kills the ClickHouse in it, which it starts again.
func (s *served) strikeClickHouse() {
	s.w.t.Helper()
	eventually(s.w.t, time.Minute, func() error { // one that was killed before is being started
		pid := clickHouseOf(s.w.t, s.now.cmd.Process.Pid)
		if pid == 0 {
			return errors.New("it has no ClickHouse")
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	})
}

// clickHouseOf finds the engine among a process's children; 0 if there is none.
func clickHouseOf(t *testing.T, parent int) int {
	t.Helper()
	all, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == strconv.Itoa(parent) && f[3] == "clickhouse" {
			pid, _ := strconv.Atoi(f[0])
			return pid
		}
	}
	return 0
}

// rebuild begins to rebuild every table, which goes on over every death.
func (s *served) rebuild() {
	s.w.t.Helper()
	eventually(s.w.t, time.Minute, func() error {
		return s.client().call(s.w.t.Context(), http.MethodPost, "/v1/projections:rebuild", nil, nil)
	})
}

func (s *served) client() *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

// sendWhile sends batches, each under its own idempotency keys, each to the next client
// asked for, until all are accepted; the strikes happen meanwhile, as so many are
// accepted each time. It returns the ids.
func (w *world) sendWhile(strikes []func(), next func() *client) []string {
	t, notifications := w.t, w.notifications()
	t.Helper()
	var mu sync.Mutex
	ids := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for first := 0; first < notifications; first += perBatch {
			for t.Context().Err() == nil {
				got, err := sendBatch(t.Context(), next(), first)
				mu.Lock()
				for _, id := range got {
					ids[id] = true
				}
				mu.Unlock()
				if err == nil {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	for n, strike := range strikes {
		eventually(t, time.Minute, func() error {
			mu.Lock()
			defer mu.Unlock()
			if want := (n + 1) * notifications / (len(strikes) + 1); len(ids) < want {
				return fmt.Errorf("%d accepted, not yet %d", len(ids), want)
			}
			return nil
		})
		strike()
	}
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("not everything was accepted in time")
	}
	if len(ids) != notifications {
		t.Errorf("%d of %d requests were accepted in the end", len(ids), notifications)
	}
	return slices.Collect(maps.Keys(ids))
}

// sendBatch returns the ids of the items accepted, and an error unless all were.
func sendBatch(ctx context.Context, c *client, first int) ([]string, error) {
	var items []map[string]any
	for n := first; n < first+perBatch; n++ {
		items = append(items, map[string]any{
			"idempotency_key": fmt.Sprintf("order-%d", n),
			"request": map[string]any{
				"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}},
				"fields": map[string]string{"name": testName, "day": "2026-12-01"},
			},
		})
	}
	var answer struct {
		Items []struct {
			Status int    `json:"status"`
			ID     string `json:"id"`
		} `json:"items"`
	}
	if err := c.call(ctx, http.MethodPost, "/v1/notifications:batch", map[string]any{"items": items}, &answer); err != nil {
		return nil, err
	}
	var ids []string
	for _, item := range answer.Items {
		if item.Status == http.StatusAccepted {
			ids = append(ids, item.ID)
		}
	}
	if len(ids) != len(items) {
		return ids, fmt.Errorf("%d of %d were accepted", len(ids), len(items))
	}
	return ids, nil
}

const testName = "Wilhelmina"

func testNumber(n int) string { return fmt.Sprintf("+393401%06d", n) }

// openHere runs an instance in this process until the test ends.
func openHere(t *testing.T, file string) *instance.Instance {
	t.Helper()
	c, err := config.Load(file, nil, instance.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	return openConfigured(t, c)
}

// openConfigured does the same of a configuration.
func openConfigured(t *testing.T, c config.Config) *instance.Instance {
	t.Helper()
	c.ZeroPorts()
	log := slog.New(slog.NewTextHandler(&testLog{t: t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	scenarios, err := instance.LoadScenarios(c, log)
	if err != nil {
		t.Fatal(err)
	}
	var l *instance.Instance
	eventually(t, time.Minute, func() (err error) { // a killed instance's child holds its folder a little longer
		l, err = instance.Open(t.Context(), c, scenarios, log)
		return err
	})
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan instance.RunFile, 1)
	go func() { ended <- l.Run(ctx, func(i instance.RunFile) { ready <- i }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("stopping the instance: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(errors.Join(errors.New("the instance did not start"), err))
	}
	return l
}

// testLog passes log lines to the test while it runs.
type testLog struct {
	t  *testing.T
	mu sync.Mutex
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}
