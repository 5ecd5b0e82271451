package follow

import (
	"context"
	"fmt"

	"recapito/readmodels"
)

// Target holds the tables. Every call may be repeated: after an error it is not known
// whether it was carried out. The running system has ClickHouse; the tests also have a model
// that crashes between any two steps.
type Target interface {
	// Open makes the database ready (migrations) and returns its generation id.
	Open(ctx context.Context) (generation string, err error)
	Exists(ctx context.Context, table string) (bool, error)
	Create(ctx context.Context, kind readmodels.Table, table string) error
	// Show points the projection's view at table, at once for every reader.
	Show(ctx context.Context, kind readmodels.Table, table string) error
	// Shown returns the table that the view shows; empty if there is no view.
	Shown(ctx context.Context, kind readmodels.Table) (table string, err error)
	Drop(ctx context.Context, table string) error
	// Queries returns the ids of the queries that run now.
	Queries(ctx context.Context) ([]string, error)
	// Insert writes a batch. After an error any of its rows may be there.
	Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error
	// Sum adds up a span of a counting table, all batches of which are written.
	Sum(ctx context.Context, kind readmodels.Table, table string, span uint64) error
	// Generation returns the id that Open returned, if the database is there and the same.
	Generation(ctx context.Context) (string, error)
	// SetCompleteness writes how far projections are; Completeness returns it.
	SetCompleteness(ctx context.Context, rows []readmodels.Completeness) error
	Completeness(ctx context.Context) ([]readmodels.Completeness, error)
}

// ClickHouse returns the Target on a connection opened on the read models' database.
// Each Open calls createDatabase first, so that a server that was emptied, or was down at
// the start, is usable again; nil if there is nothing to create.
func ClickHouse(conn readmodels.Conn, createDatabase func(context.Context) error) Target {
	return clickHouse{conn, createDatabase}
}

type clickHouse struct {
	conn           readmodels.Conn
	createDatabase func(context.Context) error
}

func (c clickHouse) Open(ctx context.Context) (string, error) {
	if c.createDatabase != nil {
		if err := c.createDatabase(ctx); err != nil {
			return "", fmt.Errorf("creating the read models' database: %w", err)
		}
	}
	if err := readmodels.Migrate(ctx, c.conn); err != nil {
		return "", fmt.Errorf("migrating the read models: %w", err)
	}
	return readmodels.Generation(ctx, c.conn)
}

func (c clickHouse) Exists(ctx context.Context, table string) (bool, error) {
	return readmodels.Exists(ctx, c.conn, table)
}

func (c clickHouse) Create(ctx context.Context, kind readmodels.Table, table string) error {
	return kind.Create(ctx, c.conn, table)
}

func (c clickHouse) Show(ctx context.Context, kind readmodels.Table, table string) error {
	return kind.Show(ctx, c.conn, table)
}

func (c clickHouse) Shown(ctx context.Context, kind readmodels.Table) (string, error) {
	return kind.Shown(ctx, c.conn)
}

func (c clickHouse) Drop(ctx context.Context, table string) error {
	return readmodels.Drop(ctx, c.conn, table)
}

func (c clickHouse) Queries(ctx context.Context) ([]string, error) {
	return readmodels.RunningQueries(ctx, c.conn)
}

func (c clickHouse) Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error {
	return kind.Insert(ctx, c.conn, table, token, rows)
}

func (c clickHouse) Sum(ctx context.Context, kind readmodels.Table, table string, span uint64) error {
	return kind.Sum(ctx, c.conn, table, span)
}

func (c clickHouse) Generation(ctx context.Context) (string, error) {
	return readmodels.Generation(ctx, c.conn)
}

func (c clickHouse) SetCompleteness(ctx context.Context, rows []readmodels.Completeness) error {
	return readmodels.SetCompleteness(ctx, c.conn, rows)
}

func (c clickHouse) Completeness(ctx context.Context) ([]readmodels.Completeness, error) {
	return readmodels.Completenesses(ctx, c.conn)
}
