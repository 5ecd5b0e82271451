package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recapito/adapters/eventstore"
	"recapito/adapters/scenariofile"
	"recapito/adapters/smpp"
	"recapito/api"
	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/calls"
	"recapito/commands/deadlines"
	"recapito/commands/lease"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/projections"
)

// ledger is a whole instance: everything that runs in `recapito serve` stands here.
type ledger struct {
	config  Config
	log     *slog.Logger
	engines *engines
	codec   *event.Codec
	lease   func(work string) *lease.Lease // nil where there is one instance
	leases  []*lease.Lease
	feed    *eventstore.Feed // nil, too

	// the command side
	notifications *commands.Notifications
	access        *access.Access
	calls         *calls.Recorder
	routes        []*smpp.Route
	manager       *commands.Manager
	delivery      *commands.Runner
	matcher       *commands.Matcher
	deadlines     *deadlines.Service
	worker        *commands.Worker
	bus           *bus
	// the query side
	projections *projections.Projections
	marks       *projections.Marks
	rebuilds    *rebuilds

	instance Instance
	registry *prometheus.Registry
	http     *http.Server
	metrics  *http.Server
	listen   []net.Listener // http, metrics
}

// Limits of the start and of a shutdown: what is not done by then is cut short; nothing
// is lost by it.
const (
	drainHTTP = 10 * time.Second
	drainSend = 15 * time.Second
	closeAll  = 20 * time.Second
	settleBus = 10 * time.Second
)

// openLedger opens the engines and wires every part; nothing runs yet.
func openLedger(ctx context.Context, c Config, scenarios *scenariofile.Set, log *slog.Logger) (_ *ledger, err error) {
	l := &ledger{config: c, log: log, registry: prometheus.NewRegistry()}
	l.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if l.codec, err = catalogue.NewCodec(); err != nil {
		return nil, fmt.Errorf("building the codec: %w", err)
	}
	if l.engines, err = openEngines(ctx, c, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.closeListeners(), l.engines.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := l.share(); err != nil {
		return nil, err
	}
	if err := l.wireCommands(scenarios); err != nil {
		return nil, err
	}
	if l.projections, err = projections.New(projections.Config{
		Source: l.engines.events, Journal: l.engines.events, Target: projections.ClickHouse(l.engines.read, l.engines.createDatabase),
		Codec: l.codec, Log: log, Now: time.Now, Lease: l.projectionLease(),
	}); err != nil {
		return nil, fmt.Errorf("wiring the projections: %w", err)
	}
	marks := projections.MarksConfig{Source: l.engines.events, Journal: l.engines.events, Log: l.log, Now: time.Now}
	if l.lease != nil {
		marks.Lease = l.lease("marks")
	}
	if l.marks, err = projections.NewMarks(marks); err != nil {
		return nil, fmt.Errorf("wiring the marks: %w", err)
	}
	l.rebuilds = newRebuilds(l.projections, l.engines.read)
	l.registry.MustRegister(gauges{l})
	return l, l.wireDoors(scenarios)
}

func (l *ledger) wireCommands(scenarios commands.Scenarios) error {
	core := &commands.Ledger{Store: l.engines.events, Codec: l.codec, Sealer: l.engines.sealing, Now: time.Now}
	sink := &lateSink{}
	var routes commands.Routes
	for _, r := range l.config.Routes {
		wire, err := smpp.NewRoute(smpp.RouteOptions{
			Name: r.Name, Addr: r.Addr, SystemID: r.SystemID, Password: r.Password, Binds: r.Binds, Window: r.Window,
			SendReference: r.EchoesReference, Sink: sink, Logger: l.log,
		})
		if err != nil {
			return fmt.Errorf("route %s: %w", r.Name, err)
		}
		l.routes = append(l.routes, wire)
		routes = append(routes, commands.Route{Name: r.Name, Channel: r.Channel, Form: r.IDForm, Policy: r.policy(), Wire: wire})
	}
	l.notifications = commands.NewNotifications(core, l.engines.sealing, scenarios, routes, l.log)
	sink.to = commands.NewReceiver(l.notifications)

	l.bus = &bus{connected: make(chan struct{}), brokers: l.engines.brokers, metrics: l.registry, log: l.log}
	for _, r := range routes {
		if !slices.Contains(l.bus.channels, r.Channel) {
			l.bus.channels = append(l.bus.channels, r.Channel)
		}
	}
	l.deadlines = deadlines.New(l.engines.events, l.codec, time.Now, l.log, func(ctx context.Context, d deadline.DeadlineSet) error {
		return l.manager.OnDeadline(ctx, d)
	})
	l.manager = commands.NewManager(l.notifications, l.bus, l.deadlines, l.log)
	l.delivery = &commands.Runner{Name: "delivery", Store: l.engines.events, Filter: l.manager.Filter(), Handle: l.manager.OnEvent, Log: l.log}
	l.matcher = commands.NewMatcher(l.notifications, l.log)
	if l.lease != nil {
		l.deadlines.Lease, l.matcher.Lease = l.lease("deadlines"), l.lease("matcher")
		l.delivery.Feed = l.feed
	}
	l.worker = commands.NewWorker(l.notifications, l.deadlines, l.log)
	l.bus.worker = l.worker
	l.instance.APIKey = access.NewKey()
	l.calls = calls.New(core, l.log)
	l.access = access.New(core, access.Options{AdminKey: l.instance.APIKey, Log: l.log})
	return nil
}

// lateSink breaks the circle of routes and the receiver that needs their settings. It
// is set before any route runs.
type lateSink struct{ to commands.ReceiptSink }

func (s *lateSink) Receive(ctx context.Context, r commands.ProviderReceipt) error {
	return s.to.Receive(ctx, r)
}

// wireDoors listens, so that a port that is taken is an error of the start.
func (l *ledger) wireDoors(scenarios commands.Scenarios) error {
	for _, addr := range []string{l.config.HTTP.Addr, l.config.Metrics.Addr} {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%s is taken (by another instance?): `--http 127.0.0.1:0` picks free ports", addr)
			}
			return fmt.Errorf("listening: %w", err)
		}
		l.listen = append(l.listen, listener)
	}
	l.instance.HTTP, l.instance.Metrics = l.listen[0].Addr().String(), l.listen[1].Addr().String()
	l.instance.PID = os.Getpid()
	if embedded, ok := l.engines.events.(*embeddedStore); ok {
		l.instance.EventStore = embedded.Addr()
	}
	if l.engines.broker != nil {
		l.instance.Kafka = l.engines.broker.Addr()
	}
	if l.engines.house != nil {
		l.instance.ClickHouse = hostPort(l.engines.houseURL)
		l.instance.ClickHousePassword = l.engines.house.Password()
	}
	l.http = api.NewServer(api.New(l.apiOptions(scenarios)), l.log)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(l.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index) // profiles, for operators on this machine
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	l.metrics = api.NewServer(mux, l.log)
	return nil
}

func (l *ledger) closeListeners() error {
	var problems []error
	for _, listener := range l.listen {
		problems = append(problems, listener.Close())
	}
	return errors.Join(problems...)
}

// run runs everything until ctx ends, then drains: first the doors, then what is on
// its way to the wire, then the rest.
func (l *ledger) run(ctx context.Context, ready func(Instance)) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	carrying, stopBus := context.WithCancel(working)
	defer stopBus()
	var work, carry, doors sync.WaitGroup
	failed := make(chan error, 3) // of both doors and run.json: none may block a shutdown

	// Everything that runs:
	work.Go(func() { l.access.Run(working) })
	work.Go(func() { l.calls.Run(working) })
	work.Go(func() { l.must("delivery", l.delivery.Run(working)) })
	work.Go(func() { l.must("matcher", l.matcher.Run(working)) })
	work.Go(func() { l.must("deadlines", l.deadlines.Run(working)) })
	for _, route := range l.routes {
		work.Go(func() { l.must("route", route.Run(working)) })
	}
	work.Go(func() { l.projections.Run(working) })
	work.Go(func() { l.marks.Run(working) })
	carry.Go(func() { l.must("bus", l.bus.run(carrying)) })
	l.settle(ctx)
	doors.Go(func() { failed <- serveUntilClosed(l.http, l.listen[0]) })
	doors.Go(func() { failed <- serveUntilClosed(l.metrics, l.listen[1]) })
	if err := l.instance.write(l.config.Data); err != nil {
		failed <- err
	} else if ctx.Err() == nil {
		ready(l.instance)
	}

	var err error
	select {
	case <-ctx.Done():
		l.log.Info("stopping: no new requests, finishing what is under way")
	case err = <-failed:
	}
	_ = os.Remove(instanceFile(l.config.Data)) // its absence is all the same
	end := context.WithoutCancel(ctx)
	err = errors.Join(err, shutdown(end, l.http), shutdown(end, l.metrics))
	doors.Wait()
	stopBus()
	carry.Wait()
	draining, cancel := context.WithTimeout(end, drainSend)
	l.worker.Drain(draining)
	cancel()
	l.rebuilds.close()
	stopWork()
	work.Wait()
	l.notifications.Close()
	closing, cancel := context.WithTimeout(end, closeAll)
	defer cancel()
	return errors.Join(err, l.engines.close(closing))
}

// settle waits until callers can be told apart, and a moment for the bus: a request
// needs no bus, but one dispatched before it is there waits for its watchdog.
func (l *ledger) settle(ctx context.Context) {
	select {
	case <-l.access.Ready():
	case <-ctx.Done():
	}
	select {
	case <-l.bus.connected:
	case <-time.After(settleBus):
	case <-ctx.Done():
	}
}

// must logs an end that should not be: parts run until they are told to end.
func (l *ledger) must(part string, err error) {
	if err != nil {
		l.log.Error("a part ended by itself", "part", part, "error", err)
	}
}

func serveUntilClosed(s *http.Server, on net.Listener) error {
	if err := s.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", on.Addr(), err)
	}
	return nil
}

func shutdown(ctx context.Context, s *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainHTTP)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// loadScenarios reads the configured folder; the default one need not be there.
func loadScenarios(c Config, log *slog.Logger) (*scenariofile.Set, error) {
	dir := c.Scenarios
	if dir == "" {
		dir = filepath.Join(c.Data, "scenarios")
	}
	set, err := scenariofile.Load(dir)
	if errors.Is(err, fs.ErrNotExist) && c.Scenarios == "" {
		log.Warn("there are no scenarios: requests will be refused until there are", "folder", dir)
		return &scenariofile.Set{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading the scenarios: %w", err)
	}
	return set, nil
}
