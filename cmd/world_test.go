package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"recapito/adapters/clickhouse"
	"recapito/adapters/kafka"
	"recapito/adapters/kafka/apache"
	"recapito/cmd/instance"
)

// world is where an end-to-end test runs: a folder, an instance's folder, and the
// engines of that instance: in it, or processes of their own.
type world struct {
	t    *testing.T
	root string // everything of the world is under it
	dir  string // the instance's own

	env []string // of all its processes, in addition to this one's

	// nil where the instance has them in itself
	store, broker, clickHouse *engine
}

// inEveryWorld runs a test with embedded engines, and with engines outside. env is
// for all processes.
func inEveryWorld(t *testing.T, test func(t *testing.T, w *world), env ...string) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, &world{t: t, root: dir, dir: dir, env: env})
	})
	t.Run("outside", func(t *testing.T) {
		t.Parallel()
		test(t, engineWorld(t, env...))
	})
}

// inThoroughWorlds is the same; engines outside only if RECAPITO_TEST_PEERS or
// RECAPITO_TEST_FULL asks for it.
func inThoroughWorlds(t *testing.T, test func(t *testing.T, w *world)) {
	if thorough("RECAPITO_TEST_PEERS") {
		inEveryWorld(t, test)
		return
	}
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		test(t, &world{t: t, root: dir, dir: dir})
	})
}

// engineWorld starts the three engines as processes of their own.
func engineWorld(t *testing.T, env ...string) *world {
	t.Helper()
	root := t.TempDir()
	w := &world{t: t, root: root, dir: filepath.Join(root, "instance"), env: env}
	w.store = engineOn(t, filepath.Join(root, "eventstore"), env, "eventlog", "serve", "--data")
	w.clickHouse = engineOn(t, filepath.Join(root, "clickhouse"), env, "clickhouse", "--dir")
	if thorough("RECAPITO_TEST_PEERS") && apache.Installed() == nil {
		w.broker = apacheKafka(t, filepath.Join(root, "kafka"))
	} else {
		w.broker = engineOn(t, filepath.Join(root, "kafka"), env, brokerVerb)
	}
	return w
}

func (w *world) outside() bool { return w.store != nil }

// keys are the lines of a configuration that name the engines outside.
func (w *world) keys() string {
	if !w.outside() {
		return ""
	}
	return "eventstore: {url: \"" + w.storeURL() + "\"}\nkafka: {brokers: [\"" + w.broker.addr + "\"]}\nclickhouse: {url: \"http://" + w.clickHouse.addr + "\"}\n"
}

// variables name them to a verb without a configuration, in addition to the world's own.
func (w *world) variables() []string {
	if !w.outside() {
		return w.env
	}
	return append([]string{
		"RECAPITO_EVENTSTORE_URL=" + w.storeURL(), "RECAPITO_KAFKA_BROKERS=" + w.broker.addr,
		"RECAPITO_CLICKHOUSE_URL=http://" + w.clickHouse.addr,
	}, w.env...)
}

func (w *world) storeURL() string { return "esdb://" + w.store.addr + "?tls=false" }

// config writes a configuration for an instance of the world; more begins in its route.
func (w *world) config(smsc, more string) string {
	w.t.Helper()
	return writeConfig(w.t, w.dir, smsc, more+w.keys())
}

// events is the folder of the event store.
func (w *world) events() string {
	if w.outside() {
		return filepath.Join(w.store.dir, "events")
	}
	return filepath.Join(w.dir, "events")
}

// clickhouse is the address of an instance's ClickHouse, with its writer's password if it
// has one.
func (w *world) clickhouse(i instance.RunFile) string {
	if w.outside() {
		return w.clickHouse.addr
	}
	return clickhouse.Writer + ":" + i.ClickHousePassword + "@" + i.ClickHouse
}

// stop stops the engines outside.
func (w *world) stop() {
	w.t.Helper()
	for _, e := range []*engine{w.store, w.broker, w.clickHouse} {
		if e != nil {
			e.stop()
		}
	}
}

// printed is all that the engines outside printed.
func (w *world) printed() string {
	var b strings.Builder
	for _, e := range []*engine{w.store, w.broker, w.clickHouse} {
		if e != nil {
			for _, p := range e.all {
				b.WriteString(p.out.String())
			}
		}
	}
	return b.String()
}

// wipe deletes the broker's and ClickHouse's folders; the instance is stopped.
func (w *world) wipe() {
	w.t.Helper()
	for name, e := range map[string]*engine{"kafka": w.broker, "clickhouse": w.clickHouse} {
		dir := filepath.Join(w.dir, name)
		if e != nil {
			e.stop()
			dir = e.dir
		}
		if err := os.RemoveAll(dir); err != nil {
			w.t.Fatal(err)
		}
		if e != nil {
			e.start()
		}
	}
}

// engine is one engine as a process of its own, on a folder and an address that stay
// the same however often it is started.
type engine struct {
	t    *testing.T
	dir  string
	addr string
	env  []string
	args []string // before the folder
	now  *process
	all  []*process

	apache *apache.Broker // it is this, and no verb of ours
}

var addressLine = regexp.MustCompile(`(?m)^127\.0\.0\.1:\d+$`)

// start starts it and waits for its address. One that ends at once is started again:
// a killed predecessor gives folder and port free a little later.
func (e *engine) start() {
	e.t.Helper()
	eventually(e.t, time.Minute, func() error {
		if e.now == nil || e.now.ended() {
			e.now = e.spawn()
			e.all = append(e.all, e.now)
		}
		if e.apache != nil {
			return e.apache.Ready(e.t.Context())
		}
		addr := addressLine.FindString(e.now.out.String())
		if addr == "" {
			return fmt.Errorf("recapito %s has not said its address", e.args[0])
		}
		e.addr = addr
		return nil
	})
}

func (e *engine) spawn() *process {
	e.t.Helper()
	if e.apache == nil {
		return startWith(e.t, e.env, append(append([]string{}, e.args...), e.dir, "--addr", e.addr)...)
	}
	c, err := e.apache.Command(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return startCommand(e.t, c)
}

// stop ends it as an operator would.
func (e *engine) stop() {
	e.t.Helper()
	if e.apache == nil {
		e.now.stop()
		return
	}
	_ = e.now.cmd.Process.Signal(syscall.SIGTERM) // Java's status is then not 0
	<-e.now.waited
}

// apacheKafka starts a real Apache Kafka.
func apacheKafka(t *testing.T, dir string) *engine {
	t.Helper()
	b, err := apache.New(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir, addr: b.Addr, apache: b}
	e.start()
	return e
}

// thorough reports whether a setting of the tests asks for more than the short form:
// RECAPITO_TEST_FULL for everything, others for a part.
func thorough(setting string) bool {
	return os.Getenv(setting) != "" || os.Getenv("RECAPITO_TEST_FULL") != ""
}

// startEventlog starts `recapito eventlog serve` on a folder and a free port.
func startEventlog(t *testing.T, dir string) (*process, string) {
	t.Helper()
	e := engineOn(t, dir, nil, "eventlog", "serve", "--data")
	return e.now, e.addr
}

// engineOn starts an engine on a folder, by a verb of ours that takes it last.
func engineOn(t *testing.T, dir string, env []string, args ...string) *engine {
	t.Helper()
	e := &engine{t: t, dir: dir, env: env, args: args, addr: "127.0.0.1:0"}
	e.start()
	return e
}

// strike kills it and starts it again.
func (e *engine) strike() {
	e.t.Helper()
	e.now.kill()
	e.start()
}

// brokerVerb makes the test binary the embedded broker in a process of its own, which
// the program itself has no verb for.
const brokerVerb = "test-broker"

func brokerMain(args []string) error {
	if len(args) != 3 {
		return errors.New("usage: DIR --addr ADDRESS")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	b, err := kafka.StartEmbedded(ctx, kafka.EmbeddedOptions{
		Dir: args[0], Addr: args[2], Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	fmt.Println(b.Addr())
	<-ctx.Done()
	return b.Close()
}
