package readmodels

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Completeness is how far a projection's table was when it was looked at: it holds
// every ledger event that was recorded before Until, the epoch if that is not known.
type Completeness struct {
	Projection string    `ch:"projection"`
	Until      time.Time `ch:"complete_until"`
	Seq        uint64    `ch:"seq"`      // ledger events in the table
	Position   uint64    `ch:"position"` // of the last of them
	CheckedAt  time.Time `ch:"checked_at"`
}

// SetCompleteness writes it for some projections; CheckedAt is the server's time.
func SetCompleteness(ctx context.Context, conn driver.Conn, rows []Completeness) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO completeness_checks (projection, complete_until, seq, position)")
	if err != nil {
		return fmt.Errorf("writing how far projections are: %w", err)
	}
	defer func() { _ = batch.Abort() }() // after Send it does nothing
	for _, r := range rows {
		until := r.Until
		if until.IsZero() {
			until = firstDay
		}
		if err := batch.Append(r.Projection, until, r.Seq, r.Position); err != nil {
			return fmt.Errorf("writing how far projections are: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("writing how far projections are: %w", err)
	}
	return nil
}

// Completenesses returns it of every projection that was looked at, by name.
func Completenesses(ctx context.Context, conn driver.Conn) ([]Completeness, error) {
	var all []Completeness
	if err := conn.Select(ctx, &all, "SELECT projection, complete_until, seq, position, checked_at FROM completeness ORDER BY projection"); err != nil {
		return nil, fmt.Errorf("asking how far projections are: %w", err)
	}
	for i := range all {
		if all[i].Until = all[i].Until.UTC(); all[i].Until.Equal(firstDay) {
			all[i].Until = time.Time{}
		}
		all[i].CheckedAt = all[i].CheckedAt.UTC()
	}
	return all, nil
}
