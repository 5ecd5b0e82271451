package cmd

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"recapito/adapters/scenariofile"
	"recapito/adapters/smpp"
	"recapito/adapters/smtp"
	mailsandbox "recapito/adapters/smtp/sandbox"
	"recapito/cmd/config"
	"recapito/cmd/instance"
	"recapito/commands/retry"
	"recapito/domain/event"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

//go:embed scenarios/*.yaml
var sampleScenarios embed.FS

type sandboxCmd struct {
	serveCmd
	ExitAfter int           `name:"exit-after" help:"Send so many notifications, wait until all are final, check that ledger, simulator and EDR agree, and exit." placeholder:"N"`
	Every     time.Duration `help:"Pause between sample notifications." default:"3s"`
}

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
		c.ClickHouse.Readers = []config.Reader{{Name: "default", Tenant: tenant.Default}}
	}
	log, err := c.Logger(t.err)
	if err != nil {
		return err
	}
	if err := refuseRunning(ctx, c.Data); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, "starting the event store, the bus, ClickHouse and the simulators of an SMSC and a mail server …")
	simulator, err := instance.StartSimulator(ctx, c, t.err, "--receipt-delay", "500ms", "--receipt-spread", "1s", "--undelivered", sampleUndelivered, "--seed", sampleSeed, "--system-id", "recapito")
	if err != nil {
		return err
	}
	defer simulator.Stop()
	mail, err := mailsandbox.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = mail.Stop() }() // nothing that it holds matters
	c.Routes = sandboxRoutes(simulator.Addr, mail.Addr)

	scenarios, err := s.scenarios(c, log)
	if err != nil {
		return err
	}
	l, err := instance.Open(ctx, c, scenarios, log)
	if err != nil {
		return err
	}
	l.RunFile.SMSC = simulator.Addr
	return s.drive(ctx, t, l, c)
}

// scenarios are the configured ones, or the samples.
func (s sandboxCmd) scenarios(c config.Config, log *slog.Logger) (*scenariofile.Set, error) {
	if c.Scenarios != "" {
		return instance.LoadScenarios(c, log)
	}
	samples, err := fs.Sub(sampleScenarios, "scenarios")
	if err != nil {
		return nil, fmt.Errorf("reading the sample scenarios: %w", err)
	}
	return scenariofile.LoadFS(samples, "sample scenarios", instance.ScenarioChannels(c))
}

// drive runs the instance, shows what happens in it, and sends samples.
func (s sandboxCmd) drive(ctx context.Context, t terminal, l *instance.Instance, c config.Config) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	started := make(chan instance.RunFile, 1)
	ended := make(chan error, 1)
	shown := make(chan struct{})
	go func() {
		defer stop() // an instance that ends by itself ends the samples too
		ended <- l.Run(running, func(i instance.RunFile) { started <- i })
	}()
	go func() {
		defer close(shown)
		l.Watch(running, func(id string, m event.Metadata, eventType string) {
			_, _ = fmt.Fprintf(t.out, "%s  %s  %s\n", m.RecordedAt.UTC().Format(clockLayout), id, phrase(eventType))
		})
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

func (s sandboxCmd) welcome(t terminal, i instance.RunFile, c config.Config) {
	self, data, clickHouse := os.Args[0], "", ""
	if i.ClickHouse != "" { // an outside one may want a password
		clickHouse = "  ClickHouse   curl 'http://" + i.ClickHouse + "/?query=SELECT+*+FROM+edr+LIMIT+1+FORMAT+Vertical'\n"
	}
	if c.Data != config.Default().Data {
		data = " --data " + c.Data
	}
	_, _ = fmt.Fprintf(t.out, `ready.

  API          http://%s/docs
  Metrics      http://%s/metrics
%s  Try          %s send appointment --to sms=+393331234567 --field name=Ada --wait%s
               %s show ID%s

Nothing leaves this machine: an SMSC simulator takes the messages. Ctrl-C ends it. What happens, as it happens:

`, i.HTTP, i.Metrics, clickHouse, self, data, self, data)
}

// trickle sends a sample now and then until ctx ends.
func (s sandboxCmd) trickle(ctx context.Context, t terminal, c *client) {
	for {
		if _, err := sendSample(ctx, c); err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintln(t.err, "a sample could not be sent:", err)
		}
		if retry.Wait(ctx, s.Every) != nil {
			return
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

// sandboxRoutes are the routes to the simulators that a sandbox starts.
func sandboxRoutes(smsc, mail string) []config.Route {
	email := smtp.Kind.Settings().(*smtp.Settings)
	email.Hosts = []smtp.Host{{Addr: mail, TLS: smtp.TLSNone}}
	email.Sender = "Recapito <notices@example.org>"
	return []config.Route{
		{
			Name: "smsc", Channel: smpp.Kind.Name, Kind: smpp.Kind,
			// The simulator's journal names attempts by the reference.
			Own: &smpp.Settings{Addr: smsc, SystemID: "recapito", EchoesReference: true, IDForm: receipt.Text},
		},
		{Name: "mail", Channel: smtp.Kind.Name, Kind: smtp.Kind, Own: email},
	}
}
