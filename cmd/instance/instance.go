// Package instance is the composition root: it opens the engines, wires every part, runs
// them until it is stopped, and then drains. run.go lists everything that runs, channels.go
// the channels, listeners.go what accepts connections. The command line starts it; it knows
// nothing of the command line.
package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"recapito/adapters/eventstore"
	"recapito/adapters/scenariofile"
	"recapito/cmd/config"
	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/aside"
	"recapito/commands/calls"
	"recapito/commands/channel"
	"recapito/commands/deadlines"
	"recapito/commands/delivery"
	"recapito/commands/intake"
	"recapito/commands/lease"
	"recapito/commands/planning"
	"recapito/commands/receipts"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/marks"
)

// Instance is everything that runs in `recapito serve`.
type Instance struct {
	Config  config.Config
	log     *slog.Logger
	Engines *Engines
	codec   *event.Codec
	lease   func(work string) *lease.Lease // nil where there is one instance
	leases  []*lease.Lease
	feed    *eventstore.Feed // nil, too

	// the command side
	ledger        *commands.Ledger
	Notifications *commands.Notifications
	aside         *aside.List
	receipts      *commands.Receipts
	intake        *intake.Intake
	access        *access.Access
	calls         *calls.Recorder
	routes        []channel.Route
	manager       *delivery.Manager
	delivery      *delivery.Runner
	matcher       *receipts.Matcher
	deadlines     *deadlines.Service
	worker        *delivery.Worker
	offers        *delivery.Offers
	bus           *bus
	// the query side
	Projections *follow.Projector
	marks       *marks.Timeline
	rebuilds    *rebuilds

	RunFile  RunFile
	registry *prometheus.Registry
	http     *http.Server
	metrics  *http.Server
	open     []net.Listener // http, metrics
}

// Open opens the engines and wires every part; nothing runs yet.
func Open(ctx context.Context, c config.Config, scenarios *scenariofile.Set, log *slog.Logger) (_ *Instance, err error) {
	l := &Instance{Config: c, log: log, registry: prometheus.NewRegistry()}
	l.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if l.codec, err = catalogue.NewCodec(); err != nil {
		return nil, fmt.Errorf("building the codec: %w", err)
	}
	if l.Engines, err = openEngines(ctx, c, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.closeListeners(), l.Engines.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := l.share(); err != nil {
		return nil, err
	}
	if err := l.wireCommands(scenarios); err != nil {
		return nil, err
	}
	if l.Projections, err = follow.New(follow.Config{
		Projections: projections.All(l.codec, operations()),
		Source:      l.Engines.Events, Checkpoints: l.Engines.Events, Target: follow.ClickHouse(l.Engines.Read, l.Engines.createDatabase),
		Log: log, Now: time.Now, Lease: l.projectionLease(), Aside: l.asideOfProjections(),
	}); err != nil {
		return nil, fmt.Errorf("wiring the projections: %w", err)
	}
	timeline := marks.Config{Source: l.Engines.Events, Store: l.Engines.Events, Log: l.log, Now: time.Now}
	if l.lease != nil {
		timeline.Lease = l.lease("marks")
	}
	if l.marks, err = marks.New(timeline); err != nil {
		return nil, fmt.Errorf("wiring the marks: %w", err)
	}
	l.rebuilds = newRebuilds(l.Projections, l.Engines.Read)
	l.registry.MustRegister(gauges{l})
	return l, l.listen(scenarios)
}

func (l *Instance) wireCommands(scenarios commands.Scenarios) error {
	core := &commands.Ledger{Store: l.Engines.Events, Codec: l.codec, Sealer: l.Engines.sealing, Now: time.Now}
	routes, sink, err := l.openChannels()
	if err != nil {
		return err
	}
	l.ledger = core
	l.aside = aside.New(l.Engines.Events, l.log, time.Now)
	l.Notifications, l.receipts = commands.NewNotifications(core), commands.NewReceipts(core)
	receiving := receipts.Config{Ledger: core, Notifications: l.Notifications, Receipts: l.receipts, Tokens: l.Engines.sealing, Routes: routes, Log: l.log, Aside: l.aside.Of("matcher", nil)}
	sink.to = receipts.NewReceiver(receiving)

	l.bus = &bus{connected: make(chan struct{}), brokers: l.Engines.brokers, metrics: l.registry, log: l.log}
	for _, r := range routes {
		if !slices.Contains(l.bus.channels, r.Kind.Name) {
			l.bus.channels = append(l.bus.channels, r.Kind.Name)
		}
	}
	l.deadlines = deadlines.New(l.Engines.Events, l.codec, time.Now, l.log, func(ctx context.Context, d deadline.DeadlineSet) error {
		return l.manager.OnDeadline(ctx, d)
	})
	l.deadlines.Aside = l.aside.Of("deadlines", nil)
	operators, err := l.Config.ReadOperators()
	if err != nil {
		return err
	}
	planner := &planning.Planner{Scenarios: scenarios, Routes: routes, Operators: operators, Now: time.Now}
	delivering := delivery.Config{
		Ledger: core, Notifications: l.Notifications, Receipts: l.receipts, Tokens: l.Engines.sealing,
		Planner: planner, Routes: routes, Deadlines: l.deadlines, Queue: l.bus, Log: l.log,
	}
	l.manager = delivery.NewManager(delivering)
	managed := l.aside.Of("delivery", l.manager.OnEvent)
	l.delivery = &delivery.Runner{
		Name: "delivery", Store: l.Engines.Events, Filter: l.manager.Filter(), Log: l.log,
		Handle: func(ctx context.Context, r event.Recorded) error {
			return managed.Take(ctx, r, func() error { return l.manager.OnEvent(ctx, r) })
		},
	}
	l.matcher = receipts.NewMatcher(receiving)
	if l.lease != nil {
		l.deadlines.Lease, l.matcher.Lease = l.lease("deadlines"), l.lease("matcher")
		l.delivery.Feed = l.feed
	}
	l.worker = delivery.NewWorker(delivering)
	l.bus.worker = l.worker
	l.offers = delivery.NewOffers(l.worker)
	l.intake = intake.New(intake.Config{
		Ledger: core, Notifications: l.Notifications, Persons: l.Engines.sealing, Scenarios: scenarios, Routes: routes,
		Planner: planner, Offers: l.offers, Log: l.log,
	})
	l.RunFile.APIKey = access.NewKey()
	l.calls = calls.New(core, l.log)
	l.access = access.New(core, access.Options{AdminKey: l.RunFile.APIKey, Log: l.log, Aside: l.aside})
	return nil
}

// asideOfProjections records what projections cannot read. A rebuild takes it again.
func (l *Instance) asideOfProjections() func(context.Context, string, *event.Unreadable) error {
	of := map[string]*aside.Consumer{}
	for _, name := range projections.Names {
		of[name] = l.aside.Of("projection-"+name, nil)
	}
	return func(ctx context.Context, projection string, u *event.Unreadable) error {
		return of[projection].Set(ctx, u)
	}
}

// LoadScenarios reads the configured folder; the default one need not be there.
func LoadScenarios(c config.Config, log *slog.Logger) (*scenariofile.Set, error) {
	dir := c.Scenarios
	if dir == "" {
		dir = filepath.Join(c.Data, "scenarios")
	}
	set, err := scenariofile.Load(dir, ScenarioChannels(c))
	if errors.Is(err, fs.ErrNotExist) && c.Scenarios == "" {
		log.Warn("there are no scenarios: requests will be refused until there are", "folder", dir)
		return &scenariofile.Set{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading the scenarios: %w", err)
	}
	for _, w := range set.Warnings() {
		log.Warn("a scenario was loaded, and something in it needs a look", "warning", w)
	}
	return set, nil
}
