package follow

import (
	"context"
	"fmt"

	"recapito/readmodels"
)

// Target is where tables are. Every call may be repeated: after an error nobody knows
// whether it was carried out. clickHouse is it in the running system; the tests' own
// is a model that crashes between any two steps.
type Target interface {
	// Open makes the database ready (migrations) and answers its generation id.
	Open(ctx context.Context) (generation string, err error)
	Exists(ctx context.Context, table string) (bool, error)
	Create(ctx context.Context, kind readmodels.Table, table string) error
	// Show points the projection's view at table, at once for every reader.
	Show(ctx context.Context, kind readmodels.Table, table string) error
	// Shown answers the table that the view shows; empty if there is no view.
	Shown(ctx context.Context, kind readmodels.Table) (table string, err error)
	Drop(ctx context.Context, table string) error
	// Insert writes a batch whole, or, on an error, any part of it.
	Insert(ctx context.Context, kind readmodels.Table, table, token string, rows []readmodels.Row) error
	// Sum adds up a span of a table of sums, all batches of which are written.
	Sum(ctx context.Context, kind readmodels.Table, table string, span uint64) error
	// Generation answers the id that Open did, if the database is the same and there.
	Generation(ctx context.Context) (string, error)
	// SetCompleteness writes how far projections are, Completeness answers it.
	SetCompleteness(ctx context.Context, rows []readmodels.Completeness) error
	Completeness(ctx context.Context) ([]readmodels.Completeness, error)
}

// ClickHouse is the Target on a connection opened on the read models' database.
// createDatabase is called before anything else each time it is opened, so that a
// server that was emptied, or was down at the start, heals; nil if there is nothing to
// create.
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
