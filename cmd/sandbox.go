package cmd

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"recapito/adapters/scenariofile"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/tenant"
)

//go:embed scenarios/*.yaml
var sampleScenarios embed.FS

type sandboxCmd struct {
	serveCmd
	ExitAfter int           `name:"exit-after" help:"Send so many notifications, wait until all are final, check that ledger, simulator and EDR agree, and exit." placeholder:"N"`
	Every     time.Duration `help:"Pause between sample notifications." default:"3s"`
}

const simulatorStart = 20 * time.Second

// Of a simulator's messages this share is reported undelivered; by this seed none of
// the first twenty, so that who tries it out sees the plain case first.
const (
	sampleUndelivered = "0.05"
	sampleSeed        = "18"
)

// Run runs an instance with a simulator and sample notifications.
func (s sandboxCmd) Run(ctx context.Context, t terminal) error {
	c, err := s.configuration(t)
	if err != nil {
		return err
	}
	if s.Config == "" {
		c.Log.Level = "warn" // the timeline is what there is to see
		// ClickHouse's own default user, without a password, sees the samples.
		c.ClickHouse.Readers = []ReaderConfig{{Name: "default", Tenant: tenant.Default}}
	}
	log, err := newLogger(c, t.err)
	if err != nil {
		return err
	}
	if err := refuseRunning(ctx, c.Data); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, "starting the event store, the bus, ClickHouse and an SMSC simulator …")
	simulator, err := startSimulator(ctx, c, t)
	if err != nil {
		return err
	}
	defer simulator.stop()
	route := defaultRoute()
	route.Addr, route.EchoesReference = simulator.addr, true // the simulator's journal names attempts by it
	c.Routes = []RouteConfig{route}

	scenarios, err := s.scenarios(c, log)
	if err != nil {
		return err
	}
	l, err := openLedger(ctx, c, scenarios, log)
	if err != nil {
		return err
	}
	l.instance.SMSC = simulator.addr
	return s.drive(ctx, t, l, c)
}

// scenarios are the configured ones, or the samples.
func (s sandboxCmd) scenarios(c Config, log *slog.Logger) (*scenariofile.Set, error) {
	if c.Scenarios != "" {
		return loadScenarios(c, log)
	}
	samples, err := fs.Sub(sampleScenarios, "scenarios")
	if err != nil {
		return nil, fmt.Errorf("reading the sample scenarios: %w", err)
	}
	return scenariofile.LoadFS(samples, "sample scenarios")
}

// drive runs the instance, shows what happens in it, and sends samples.
func (s sandboxCmd) drive(ctx context.Context, t terminal, l *ledger, c Config) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	started := make(chan Instance, 1)
	ended := make(chan error, 1)
	shown := make(chan struct{})
	go func() {
		defer stop() // an instance that ends by itself ends the samples too
		ended <- l.run(running, func(i Instance) { started <- i })
	}()
	go func() {
		defer close(shown)
		l.showEvents(running, t.out)
	}()
	var result error
	select {
	case i := <-started:
		s.welcome(t, i, c)
		if s.ExitAfter > 0 {
			result = s.sendAndCheck(running, t, l, i)
		} else {
			s.trickle(running, t, newClient(i, "default"))
		}
	case err := <-ended:
		stop()
		<-shown
		return err
	}
	if s.ExitAfter == 0 {
		_, _ = fmt.Fprintln(t.out, "\nstopping: finishing what is under way …")
	}
	stop()
	<-shown
	err := errors.Join(result, <-ended)
	if s.ExitAfter == 0 && err == nil {
		_, _ = fmt.Fprintf(t.out, "stopped. All of it is kept in %s; the next start goes on from there.\n", c.Data)
	}
	return err
}

func (s sandboxCmd) welcome(t terminal, i Instance, c Config) {
	self, data, house := os.Args[0], "", ""
	if i.ClickHouse != "" { // an outside one may want a password
		house = "  ClickHouse   curl 'http://" + i.ClickHouse + "/?query=SELECT+*+FROM+edr+LIMIT+1+FORMAT+Vertical'\n"
	}
	if c.Data != defaultConfig().Data {
		data = " --data " + c.Data
	}
	_, _ = fmt.Fprintf(t.out, `ready.

  API          http://%s/docs
  Metrics      http://%s/metrics
%s  Try          %s send appointment --to sms=+393331234567 --field name=Ada --wait%s
               %s show ID%s

Nothing leaves this machine: an SMSC simulator takes the messages. Ctrl-C ends it. What happens, as it happens:

`, i.HTTP, i.Metrics, house, self, data, self, data)
}

// trickle sends a sample now and then until ctx ends.
func (s sandboxCmd) trickle(ctx context.Context, t terminal, c *client) {
	for {
		if _, err := sendSample(ctx, c); err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintln(t.err, "a sample could not be sent:", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(s.Every):
		}
	}
}

// sendSample requests one of the sample notifications, to a number made up.
func sendSample(ctx context.Context, c *client) (string, error) {
	number := fmt.Sprintf("+39333%07d", rand.IntN(10_000_000)) //nolint:gosec // a made-up number
	body := map[string]any{
		"scenario": "appointment",
		"to":       map[string][]string{"sms": {number}},
		"fields":   map[string]string{"name": "Ada", "day": time.Now().AddDate(0, 0, 1).Format(time.DateOnly)},
	}
	if rand.IntN(3) == 0 { //nolint:gosec // any third one
		body["scenario"] = "payment"
		body["fields"] = map[string]string{"notice": fmt.Sprintf("3%017d", rand.Int64N(1e17))} //nolint:gosec // a made-up notice
	}
	var accepted summary
	err := c.call(ctx, http.MethodPost, "/v1/notifications", body, &accepted)
	return accepted.ID, err
}

// showEvents prints every event of a notification from now on.
func (l *ledger) showEvents(ctx context.Context, out io.Writer) {
	after, err := l.engines.events.State(ctx)
	if err != nil {
		l.log.Warn("what happens is not shown: the event store does not tell where it is", "error", err)
		return
	}
	_ = l.engines.events.Subscribe(ctx, event.Subscription{ // it ends with ctx, or with the instance
		After: &after, Filter: event.Filter{StreamPrefixes: []string{notification.StreamPrefix}},
	}, event.Handler{Event: func(e event.Recorded) error {
		id := strings.TrimPrefix(e.Stream, notification.StreamPrefix)
		m, err := event.DecodeMetadata(e.Metadata)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "%s  %s  %s\n", m.RecordedAt.UTC().Format(clockLayout), id, phrase(e.Type))
		return nil
	}})
}

// phrase is an event's type in a person's words: "outcome unknown".
func phrase(eventType string) string {
	var b strings.Builder
	for i, r := range strings.TrimPrefix(eventType, "Notification") {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}
