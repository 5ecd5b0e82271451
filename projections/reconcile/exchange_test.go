package reconcile_test

import (
	"context"
	"strings"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

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
	i.Batch, i.Span = 32, 64
	conn := clickhousetest.Database(t)
	i.Start(conn)
	i.Write(60)
	for _, projection := range []string{"accounting", "rollups"} {
		for _, text := range []string{"(SELECT * FROM %s FINAL", "%s FINAL WHERE 1 GROUP BY first_seq"} {
			i.Settled()
			c := &interrupted{Conn: conn, text: strings.Replace(text, "%s", i.Table(projection), 1)}
			c.before = func() { i.Exec(i.P.Rebuild(t.Context(), projection, nil)) }
			i.Conn = c
			if found := i.Differences(); len(found) > 0 {
				t.Errorf("%s: %v", projection, found)
			}
			i.Conn = conn
			if c.before != nil {
				t.Errorf("%s was not read by %q", projection, text)
			}
		}
	}
}
