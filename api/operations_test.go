package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/api"
	"recapito/commands"
	"recapito/commands/intake"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// rebuilds is a set of projections as the composition root gives it.
type rebuilds struct{ begun []string }

func (r *rebuilds) Rebuild(_ context.Context, name string) (bool, error) {
	if name != "edr" {
		return false, nil
	}
	r.begun = append(r.begun, name)
	return true, nil
}

func (r *rebuilds) Projection(_ context.Context, name string) (api.Projection, bool) {
	if name != "edr" {
		return api.Projection{}, false
	}
	state := "live"
	if len(r.begun) > 0 {
		state = "rebuilding"
	}
	return api.Projection{Name: name, State: state, Done: 3, Total: 7}, true
}

// refusingWorld has everything that can refuse.
func refusingWorld(t testing.TB) *world {
	return newWorld(t, func(w *world, o *api.Options) {
		w.reports.Reports, w.reports.Persons = &told{}, w.lookup()
		o.Projections = &rebuilds{}
		w.reports.Passed = func(context.Context, event.Position, ...string) error { return readmodels.ErrNoSuchPosition }
	})
}

func (r *rebuilds) RebuildAll(context.Context) error {
	r.begun = append(r.begun, "edr")
	return nil
}

func (r *rebuilds) Projections(ctx context.Context) []api.Projection {
	p, _ := r.Projection(ctx, "edr")
	return []api.Projection{p}
}

func TestRebuildIsBegunAndFollowed(t *testing.T) {
	r := &rebuilds{}
	w := newWorld(t, func(_ *world, o *api.Options) { o.Projections = r })
	if a := w.call(http.MethodGet, "/v1/projections/edr", "", w.admin()); a.status != http.StatusOK || !strings.Contains(a.body, `"live"`) {
		t.Errorf("before: %d %s", a.status, a.body)
	}
	if a := w.call(http.MethodGet, "/v1/projections", "", w.admin()); a.status != http.StatusOK || !strings.Contains(a.body, `{"projections":[{"name":"edr","state":"live"`) {
		t.Errorf("all: %d %s", a.status, a.body)
	}
	a := w.call(http.MethodPost, "/v1/projections/edr:rebuild", "", w.admin())
	if a.status != http.StatusAccepted || !strings.Contains(a.body, `"state":"rebuilding","done":3,"total":7`) || len(r.begun) != 1 {
		t.Errorf("begun: %d %s", a.status, a.body)
	}
	if a := w.call(http.MethodGet, "/v1/projections/events", "", w.admin()); a.status != http.StatusNotFound {
		t.Errorf("unknown: %d", a.status)
	}
	if a := w.call(http.MethodPost, "/v1/projections:rebuild", "", w.admin()); a.status != http.StatusAccepted || len(r.begun) != 2 {
		t.Errorf("all: %d %s", a.status, a.body)
	}
	if a := w.call(http.MethodGet, "/v1/projections", "", w.admin()); a.status != http.StatusOK || !strings.Contains(a.body, `{"projections":[{"name":"edr","state":"rebuilding"`) {
		t.Errorf("all: %d %s", a.status, a.body)
	}
}

func TestReadsWaitForTheirPosition(t *testing.T) {
	var asked []string
	answer := error(nil)
	w := newWorld(t, func(w *world, _ *api.Options) {
		w.reports.Reports = &told{}
		w.reports.Passed = func(_ context.Context, p event.Position, names ...string) error {
			asked = append(asked, fmt.Sprint(p, names))
			return answer
		}
	})
	if a := w.call(http.MethodGet, "/v1/edr", ""); a.status != http.StatusOK || asked != nil {
		t.Errorf("without a position: %d, %v", a.status, asked)
	}
	if a := w.call(http.MethodGet, "/v1/edr?after=18446744073709551615", ""); a.status != http.StatusOK || asked[0] != "18446744073709551615 [edr]" {
		t.Errorf("passed: %d, %v", a.status, asked)
	}
	// Each waits for all that it reads, as a page, as a file and as of a time.
	for path, names := range map[string]string{
		"/v1/edr": "[edr]", "/v1/reports/history": "[edr notifications]", "/v1/reports/accounting": "[accounting]",
		"/v1/reports/rollups?from=2026-01-01T00:00:00Z": "[rollups]", "/v1/reports/metrics": "[rollups accounting]",
	} {
		for _, more := range []string{"", "&format=csv", "&format=jsonl", "&format=parquet", "&as_of=2026-01-01T00:00:00Z"} {
			asked = nil
			method, body := http.MethodGet, ""
			if strings.HasSuffix(path, "history") {
				method, body = http.MethodPost, `{"scenario":"hello"}`
			}
			join := "?"
			if strings.Contains(path, "?") {
				join = "&"
			}
			if a := w.call(method, path+join+"after=5"+more, body); a.status != http.StatusOK || len(asked) != 1 || asked[0] != "5 "+names {
				t.Errorf("%s%s: %d, waited for %v, want %s", path, more, a.status, asked, names)
			}
		}
	}
	answer = &readmodels.Behind{Projection: "edr", Position: 7, Why: "interrupted"}
	a := w.call(http.MethodGet, "/v1/edr?after=9", "")
	if p := a.problem(t); a.status != http.StatusServiceUnavailable || p.Code != "behind" || !strings.Contains(p.Detail, "position 7, interrupted") || a.header.Get("Retry-After") == "" {
		t.Errorf("behind: %d %s", a.status, a.body)
	}
	answer = event.ErrUnavailable
	if a := w.call(http.MethodGet, "/v1/edr?after=9", ""); a.status != http.StatusServiceUnavailable || a.problem(t).Code != "unavailable" {
		t.Errorf("without the event store: %d %s", a.status, a.body)
	}
}

func TestEDRAsksForTheCallersTenant(t *testing.T) {
	r := &told{edr: []readmodels.EDR{{DayText: "2026-01-05", Notification: "n", Attempt: 1, Status: "delivered"}}, next: "more"}
	w := newWorld(t, func(w *world, _ *api.Options) { w.reports.Reports = r })
	a := w.call(http.MethodGet, "/v1/edr?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00%2B01:00&channel=sms&scenario=appointment&status=delivered&code=0x0b&person=p-1&campaign=spring&changed_after=17&test=false&queue_ms_min=1000&delivery_ms_max=-1&cursor=abc&limit=7", "", withKey(w.newKey("acme")))
	want := readmodels.EDRQuery{
		Tenant: "acme", From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC),
		EDRFilter: readmodels.EDRFilter{
			Is:           map[string]string{"channel": "sms", "scenario": "appointment", "status": "delivered", "code": "0x0b", "person": "p-1", "campaign": "spring"},
			ChangedAfter: new(uint64(17)),
			Test:         new(false),
			Within:       map[string]readmodels.Bounds{"queue_ms": {Least: new(int64(1000))}, "delivery_ms": {Most: new(int64(-1))}},
		},
		Cursor: "abc", Limit: 7,
	}
	if diff := cmp.Diff(want, r.asked); diff != "" {
		t.Error(diff)
	}
	if a.status != http.StatusOK || !strings.Contains(a.body, `"day":"2026-01-05"`) || !strings.Contains(a.body, `"next":"more"`) {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	r.fails = errors.New("connection refused")
	if a = w.call(http.MethodGet, "/v1/edr", ""); a.status != http.StatusServiceUnavailable || a.problem(t).Code != "unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("without ClickHouse: %d %s", a.status, a.body)
	}
	if without := newWorld(t).call(http.MethodGet, "/v1/edr", ""); without.status != http.StatusServiceUnavailable {
		t.Errorf("without read models: %d", without.status)
	}
}

func TestReadyTellsEachEngine(t *testing.T) {
	var clickhouse, store atomic.Pointer[error]
	probe := func(p *atomic.Pointer[error], detail string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) {
			if err := p.Load(); err != nil {
				return "", *err
			}
			return detail, nil
		}
	}
	var clock atomic.Int64
	w := newWorld(t, func(_ *world, o *api.Options) {
		o.Now = func() time.Time { return time.Unix(clock.Add(3600), 0) } // every probe is asked anew
		o.Checks = []api.Check{
			{Name: "eventstore", Required: true, Probe: probe(&store, "position 12")},
			{Name: "clickhouse", Probe: probe(&clickhouse, "live")},
		}
	})
	ready := func(want int) string {
		t.Helper()
		a := w.call(http.MethodGet, "/readyz", "", without("Authorization"))
		if a.status != want {
			t.Errorf("status %d, want %d", a.status, want)
		}
		return strings.TrimSpace(a.body)
	}
	if got, want := ready(200), `{"status":"ready","engines":{"clickhouse":{"state":"up","detail":"live"},"eventstore":{"state":"up","detail":"position 12"}}}`; got != want {
		t.Errorf("%s", got)
	}
	down := errors.New("dial 10.1.2.3: refused")
	clickhouse.Store(&down)
	if got := ready(200); !strings.Contains(got, `"degraded"`) || !strings.Contains(got, `"clickhouse":{"state":"down","detail":"does not respond"}`) {
		t.Errorf("without ClickHouse: %s", got)
	}
	store.Store(&down)
	if got := ready(503); !strings.Contains(got, `"not_ready"`) {
		t.Errorf("without the event store: %s", got)
	}
	clickhouse.Store(nil)
	store.Store(nil)
	if got := ready(200); !strings.Contains(got, `"status":"ready"`) {
		t.Errorf("again: %s", got)
	}
	if a := w.call(http.MethodGet, "/livez", "", without("Authorization")); a.status != http.StatusOK {
		t.Errorf("livez: %d", a.status)
	}
	if a := w.call(http.MethodHead, "/livez", "", without("Authorization")); a.status != http.StatusOK {
		t.Errorf("HEAD /livez: %d", a.status)
	}
	if log := w.logged.String(); strings.Count(log, "an engine is down") != 2 || strings.Count(log, "up again") != 2 {
		t.Error("each change of an engine is logged once")
	}
}

// slow holds every request until it is let go.
type slow struct {
	api.Notifications
	entered chan struct{}
	let     chan struct{}
}

func (s slow) Get(ctx context.Context, tenant, id string) (commands.Loaded[notification.State], error) {
	s.entered <- struct{}{}
	<-s.let
	return s.Notifications.Get(ctx, tenant, id)
}

func TestTooManyAtOnceAreRefused(t *testing.T) {
	s := slow{entered: make(chan struct{}), let: make(chan struct{})}
	w := newWorld(t, func(_ *world, o *api.Options) {
		s.Notifications = o.Notifications
		o.Notifications, o.MaxInFlight = s, 2
	})
	path := "/v1/notifications/" + w.submitted(appointment).ID
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- w.call(http.MethodGet, path, "") }()
		<-s.entered
	}
	a := w.call(http.MethodGet, "/v1/scenarios", "")
	if a.status != http.StatusTooManyRequests || a.problem(t).Code != "too_many_requests" || a.header.Get("Retry-After") == "" {
		t.Errorf("the third: %d %s", a.status, a.body)
	}
	if a = w.call(http.MethodGet, "/livez", ""); a.status != http.StatusOK {
		t.Errorf("health meanwhile: %d", a.status)
	}
	close(s.let)
	for range 2 {
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("the first two: %d", a.status)
		}
	}
	if a = w.call(http.MethodGet, "/v1/scenarios", ""); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// failing is the command side with a fault.
type failing struct {
	api.Intake
	fail func() error
}

func (f failing) Submit(context.Context, commands.Origin, string, intake.Request) (intake.Accepted, error) {
	return intake.Accepted{}, f.fail()
}

func outOfRange(errs []error) error { return errs[len(errs)] }

func TestFaultsAreProblemsAndLoggedOnce(t *testing.T) {
	var fail func() error
	w := newWorld(t, func(_ *world, o *api.Options) {
		o.Intake = failing{o.Intake, func() error { return fail() }}
	})
	for name, c := range map[string]struct {
		fail   func() error
		status int
		code   api.Code
		logged string
	}{
		"store down":    {func() error { return fmt.Errorf("appending: %w", event.ErrUnavailable) }, 503, "unavailable", "a request failed"},
		"unknown":       {func() error { return fmt.Errorf("appending: %w", event.ErrUnknownOutcome) }, 503, "outcome_unknown", "a request failed"},
		"out of time":   {func() error { return fmt.Errorf("appending: %w", context.DeadlineExceeded) }, 503, "outcome_unknown", "a request failed"},
		"anything else": {func() error { return errors.New("disk on fire") }, 500, "internal", "a request failed"},
		"too large":     {func() error { return fmt.Errorf("appending: %w", event.ErrTooLarge) }, 413, "too_large", ""},
		"erased":        {func() error { return fmt.Errorf("claiming: %w", commands.ErrKeyErased) }, 409, "erased", ""},
		"erased key":    {func() error { return intake.ErrErased }, 409, "erased", ""},
		"panic":         {func() error { panic("holds +393331234567") }, 500, "internal", "a handler panicked"},
		"runtime panic": {func() error { return outOfRange(nil) }, 500, "internal", "a handler panicked"},
	} {
		t.Run(name, func(t *testing.T) {
			fail = c.fail
			before := len(w.logged.String())
			a := w.call(http.MethodPost, "/v1/notifications", appointment)
			p := a.problem(t)
			if a.status != c.status || p.Code != c.code {
				t.Errorf("%d %s, want %d %s", a.status, p.Code, c.status, c.code)
			}
			id := a.header.Get("X-Request-Id")
			if (p.Instance != "") != (c.status == 500) || (p.Instance != "" && p.Instance != "urn:uuid:"+id) {
				t.Errorf("instance %q, request %q", p.Instance, id)
			}
			log := w.logged.String()[before:]
			if c.logged != "" && (strings.Count(log, c.logged) != 1 || !strings.Contains(log, id)) {
				t.Errorf("logged: %s", log)
			}
			if strings.Contains(log, "3331234567") || strings.Contains(a.body, "3331234567") || strings.Contains(a.body, "fire") {
				t.Error("the fault shows what it holds")
			}
		})
	}
	t.Run("in a batch", func(t *testing.T) {
		fail = func() error { panic("holds +393331234567") }
		a := w.call(http.MethodPost, "/v1/notifications:batch", `{"items":[{"request":`+appointment+`}]}`)
		if a.status != http.StatusOK || !strings.Contains(a.body, `"status":500`) || strings.Contains(w.logged.String(), "3331234567") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestCallsAreLoggedAndCountedByRoute(t *testing.T) {
	w := newWorld(t)
	id := w.submitted(appointment).ID
	w.call(http.MethodGet, "/v1/notifications/"+id, "")
	w.call("BREW", "/v1/notifications/"+id, "")
	log := w.logged.String()
	for _, want := range []string{`"route":"/v1/notifications/{id}","status":200`, `"tenant":"default"`, `"notification":"` + id + `"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, m := range families[0].GetMetric() {
		line := ""
		for _, l := range m.GetLabel() {
			line += l.GetValue() + " "
		}
		labels = append(labels, fmt.Sprint(line, m.GetHistogram().GetSampleCount()))
	}
	want := []string{"GET /v1/notifications/{id} 200 1", "POST /v1/notifications 202 1", "other none 405 1"}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutTheEventStoreNothingIsAccepted(t *testing.T) {
	w := newWorld(t)
	id := w.submitted(appointment).ID
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/notifications", appointment},
		{http.MethodGet, "/v1/notifications/" + id, ""},
		{http.MethodGet, "/v1/notifications/" + id + "/events", ""},
		{http.MethodPost, "/v1/notifications/" + id + "/cancel", ""},
	} {
		a := w.call(c.method, c.path, c.body)
		if a.status != http.StatusServiceUnavailable || a.problem(t).Code != "unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, a.status, a.body)
		}
	}
}

func TestABodyThatDoesNotArriveIsATimeout(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = api.NewServer(w.server.Config.Handler, nil)
	if server.Config.ReadHeaderTimeout == 0 || server.Config.WriteTimeout == 0 || server.Config.IdleTimeout == 0 || server.Config.MaxHeaderBytes == 0 {
		t.Error("a timeout or a limit is not set")
	}
	server.Config.ReadTimeout = 100 * time.Millisecond
	server.Start()
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/notifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", w.key)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if a := (answer{res.StatusCode, res.Header, string(content)}); a.problem(t).Code != "body_timeout" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestRefusedMethodsAreToldWhichAreAllowed(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string][]string{
		"/v1/notifications": {"POST"}, "/v1/keys": {"GET", "HEAD", "POST"}, "/v1/keys/x": {"DELETE"}, "/livez": {"GET", "HEAD"},
	} {
		if got := w.call(http.MethodPatch, path, "").header.Values("Allow"); !cmp.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
