package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
	"recapito/adapters/kafka"
	"recapito/adapters/keystore"
	"recapito/adapters/postgres"
	"recapito/cmd/config"
	"recapito/commands"
	"recapito/commands/retry"
	"recapito/commands/sealing"
)

// Engines are what holds state: the event store, the key store, the bus's broker and
// the read models' database, embedded or outside.
type Engines struct {
	log           *slog.Logger
	Events        EventStore
	keys          keyStore
	keysHere      bool // the key store is embedded
	sealing       *sealing.Sealing
	broker        *kafka.Embedded // nil if kafka.brokers is set
	brokers       []string
	ClickHouse    *clickhouse.Supervised // nil if clickhouse.url is set
	clickHouseURL string
	Read          driver.Conn
}

// openEngines opens all of them; what was opened is closed again if one fails.
func openEngines(ctx context.Context, c config.Config, log *slog.Logger) (_ *Engines, err error) {
	e := &Engines{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	if err := os.Chmod(c.Data, 0o700); err != nil { // it may have been made by others
		return nil, fmt.Errorf("keeping the data folder to its owner: %w", err)
	}
	if e.Events, err = openEventStore(c, log); err != nil {
		return nil, err
	}
	if err := e.openKeys(ctx, c); err != nil {
		return nil, err
	}
	// The broker and ClickHouse start side by side: the latter takes a second or two.
	var starting sync.WaitGroup
	var brokerErr, clickHouseErr error
	starting.Go(func() { brokerErr = e.startBroker(ctx, c) })
	starting.Go(func() { clickHouseErr = e.startClickHouse(ctx, c) })
	starting.Wait()
	return e, errors.Join(brokerErr, clickHouseErr)
}

// keyStore is the key store, embedded or a PostgreSQL.
type keyStore interface {
	commands.KeyStore
	Close() error
}

// openKeys opens the key store, and what seals by it.
func (e *Engines) openKeys(ctx context.Context, c config.Config) error {
	file := c.KeyStore.MasterKeyFile
	if file == "" {
		file = filepath.Join(c.Data, "keys", "master.key")
	}
	store := filepath.Join(c.Data, "keys", "store")
	entries, err := os.ReadDir(store)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the key store: %w", err)
	}
	master, err := keystore.LoadMasterKey(file, len(entries) == 0)
	if err != nil {
		return fmt.Errorf("loading the master key: %w", err)
	}
	if c.KeyStore.URL != "" {
		s, err := postgres.Open(ctx, c.KeyStore.URL)
		if err != nil {
			return err
		}
		e.keys = s
	} else {
		s, err := keystore.Open(store, keystore.Options{Logger: e.log})
		if err != nil {
			return fmt.Errorf("opening the key store: %w", err)
		}
		e.keys, e.keysHere = s, true
	}
	if e.sealing, err = sealing.New(e.keys, master, sealing.Options{}); err != nil {
		return fmt.Errorf("opening the key store: %w", err)
	}
	// Another installation's keys are found out now, not by the first value that does not open.
	_, err = e.sealing.Secret(ctx, "readiness")
	if errors.Is(err, sealing.ErrDamaged) {
		return fmt.Errorf("%s is not the master key of this key store: %w", file, err)
	}
	return err
}

func (e *Engines) startBroker(ctx context.Context, c config.Config) (err error) {
	if len(c.Kafka.Brokers) > 0 {
		e.brokers = c.Kafka.Brokers
		return nil
	}
	e.broker, err = kafka.StartEmbedded(ctx, kafka.EmbeddedOptions{Dir: filepath.Join(c.Data, "kafka"), Addr: c.Kafka.Addr, Logger: e.log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken (by another instance?): `--http 127.0.0.1:0` picks free ports", c.Kafka.Addr)
	}
	if err != nil {
		return fmt.Errorf("starting the embedded broker: %w", err)
	}
	e.brokers = e.broker.Brokers()
	return nil
}

func (e *Engines) startClickHouse(ctx context.Context, c config.Config) (err error) {
	e.clickHouseURL = c.ClickHouse.URL
	if e.clickHouseURL == "" {
		memory, _ := c.ClickHouse.Memory.Bytes() // validate saw it
		e.ClickHouse, err = clickhouse.Start(ctx, clickhouse.SupervisorOptions{
			Args: []string{"clickhouse", "--until-stdin-ends", "--memory", strconv.FormatInt(memory, 10)}, Dir: filepath.Join(c.Data, "clickhouse"), Addr: c.ClickHouse.Addr, Logger: e.log,
			Readers: c.Users().Readers,
			Env:     []string{"RECAPITO_LOG_FORMAT=json", "RECAPITO_LOG_LEVEL=" + c.Log.Level},
		})
		if err != nil {
			return fmt.Errorf("starting the embedded ClickHouse engine: %w", err)
		}
		e.clickHouseURL = e.ClickHouse.URL()
	}
	if e.Read, err = clickhouse.Open(e.clickHouseURL); err != nil {
		return fmt.Errorf("opening ClickHouse: %w", err)
	}
	return nil
}

// clickHouseState is nil while ClickHouse responds.
func (e *Engines) clickHouseState(ctx context.Context) error {
	if e.ClickHouse != nil {
		if err := e.ClickHouse.State(); err != nil {
			return err
		}
	}
	return e.Read.Ping(ctx)
}

// createDatabase makes the database of an outside ClickHouse; the embedded engine has
// its own.
func (e *Engines) createDatabase(ctx context.Context) error {
	if e.ClickHouse != nil {
		return nil
	}
	return clickhouse.CreateDatabase(ctx, e.clickHouseURL)
}

func (e *Engines) close(ctx context.Context) error {
	var problems []error
	if e.Read != nil {
		problems = append(problems, e.Read.Close())
	}
	if e.ClickHouse != nil {
		problems = append(problems, e.ClickHouse.Close(ctx))
	}
	if e.broker != nil {
		problems = append(problems, e.broker.Close())
	}
	if e.keys != nil {
		problems = append(problems, e.keys.Close())
	}
	if e.Events != nil {
		problems = append(problems, e.Events.Close())
	}
	return errors.Join(problems...)
}

// Uncompressed lets a test search the files of the event store for what must not be
// there.
func Uncompressed() bool { return os.Getenv("RECAPITO_TEST_UNCOMPRESSED") != "" }

// connecting is how often an engine of another machine is tried again.
var connecting = retry.Policy{First: 500 * time.Millisecond, Most: 5 * time.Second}

// hostPort is the address in a URL.
func hostPort(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Host
	}
	return ""
}
