package projections_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse/clickhousetest"
)

// Readers never see that a table is exchanged: none of their questions fails.
func TestReadersDuringExchanges(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.limit, i.span = 32, 64
	conn := clickhousetest.New(t)
	i.start(conn)
	i.write(60)
	i.settled()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, view := range []string{"events", "edr", "notifications", "accounting", "accounting_as_of(cut = 100)", "rollups"} {
		readers.Go(func() {
			for ctx.Err() == nil {
				var n uint64
				if err := conn.QueryRow(context.Background(), "SELECT count() FROM "+view).Scan(&n); err != nil || n == 0 {
					t.Errorf("%s has %d rows, %v", view, n, err)
				}
			}
		})
	}
	for range 3 {
		if err := i.p.RebuildAll(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	cancel()
	readers.Wait()
}

// interrupted is a connection on which something happens before the first question that
// holds a text.
type interrupted struct {
	driver.Conn
	text   string
	before func()
}

func (c *interrupted) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	if c.before != nil && strings.Contains(query, c.text) {
		before := c.before
		c.before = nil
		before()
	}
	return c.Conn.Query(ctx, query, args...)
}

// A comparison reads the tables that it found behind the views by their names; when a
// rebuild exchanges one meanwhile it reads the new one.
func TestComparedTablesAreExchanged(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.limit, i.span = 32, 64
	conn := clickhousetest.New(t)
	i.start(conn)
	i.write(60)
	for _, projection := range []string{"accounting", "rollups"} {
		for _, text := range []string{"(SELECT * FROM %s FINAL", "%s FINAL WHERE 1 GROUP BY first_seq"} {
			i.settled()
			c := &interrupted{Conn: conn, text: strings.Replace(text, "%s", i.table(projection), 1)}
			c.before = func() { i.exec(i.p.Rebuild(t.Context(), projection, nil)) }
			i.conn = c
			if found := i.differences(); len(found) > 0 {
				t.Errorf("%s: %v", projection, found)
			}
			i.conn = conn
			if c.before != nil {
				t.Errorf("%s was not read by %q", projection, text)
			}
		}
	}
}
