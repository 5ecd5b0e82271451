package readmodels_test

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/clickhouse"
	"recapito/adapters/eventlog"
	"recapito/domain/catalogue"
	"recapito/projections"
	"recapito/projections/follow"
	"recapito/projections/histories"
)

// biReader is a tenant's user for BI tools, as the configuration makes one.
var biReader = clickhouse.Reader{Name: "bi", Tenant: "acme"}

// A day's histories begin at biFrom.
var biFrom = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

const (
	biAppends = 2500
	biEvery   = 40 * time.Second
)

// fillBI projects generated histories into the database recapito, once for all tests.
func fillBI(tb testing.TB) error {
	url := engine(tb).URL()
	filledBI.once.Do(func() { filledBI.err = projectBI(url) })
	return filledBI.err
}

var filledBI struct {
	once sync.Once
	err  error
}

func projectBI(engineURL string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	codec, err := catalogue.NewCodec()
	if err != nil {
		return err
	}
	log, err := eventlog.Open(eventlog.Options{Dir: "bi", FS: vfs.NewMem(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	g, err := histories.New(histories.Options{Codec: codec, Seed: 1, From: biFrom, Every: biEvery, Persons: 50})
	if err != nil {
		return err
	}
	write := func(appends int) error {
		for range appends {
			a := g.Next()
			if _, err := log.Append(ctx, a.Stream, a.Expected(), a.Events); err != nil {
				return err
			}
		}
		return nil
	}
	if err := write(biAppends / 2); err != nil {
		return err
	}
	conn, err := clickhouse.Open(engineURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	p, err := follow.New(follow.Config{
		Projections: projections.All(codec, nil), Source: log, Checkpoints: log, Target: follow.ClickHouse(conn, nil), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); p.Run(running) }()
	defer func() { stop(); <-done }()
	if err := p.Settle(ctx); err != nil {
		return err
	}
	for _, e := range biExtracts {
		if err := e.fetch(ctx, conn); err != nil { // of the first half
			return err
		}
	}
	if err := write(biAppends / 2); err != nil {
		return err
	}
	return p.Settle(ctx)
}

// bi answers a connection as a BI tool of the tenant acme has it, on filled tables.
func bi(t *testing.T) driver.Conn {
	t.Helper()
	if err := fillBI(t); err != nil {
		t.Fatal(err)
	}
	return connect(t, as(t, biReader.Name))
}

func connect(t *testing.T, url string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// as is the engine's URL for a user without a password.
func as(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(engine(t).URL())
	if err != nil {
		t.Fatal("the engine's URL is none")
	}
	u.User = url.User(name)
	return u.String()
}
