package readmodels

import (
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	client "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// column is a column of a table whose rows are R.
type column[R any] struct {
	name string
	as   string // the type that values are sent as; the server makes the column's of it
	all  func(rows []R) any
}

// columns are those of an insert, in its order.
type columns[R any] []column[R]

// of makes a column of what a row holds.
func of[R, V any](name string, value func(*R) V) column[R] {
	return sent[R, V](name, sentAs[V](), value)
}

// sent is of, with the type that its values are sent as.
func sent[R, V any](name, as string, value func(*R) V) column[R] {
	return column[R]{name, as, func(rows []R) any {
		all := make([]V, len(rows))
		for i := range rows {
			all[i] = value(&rows[i])
		}
		return all
	}}
}

// sentAs is the plain type of a value: a dictionary is for the server to make.
func sentAs[V any]() string {
	var v V
	switch any(v).(type) {
	case string:
		return "String"
	case bool:
		return "Bool"
	case uint16:
		return "UInt16"
	case uint64:
		return "UInt64"
	case int64:
		return "Int64"
	case *uint32:
		return "Nullable(UInt32)"
	case time.Time:
		return "DateTime64(6, 'UTC')"
	case *time.Time:
		return "Nullable(DateTime64(6, 'UTC'))"
	case map[uint16]uint16:
		return "Map(UInt16, UInt16)"
	case []uint16:
		return "Array(UInt16)"
	case []string:
		return "Array(String)"
	}
	panic(fmt.Sprintf("no column holds a %T", v)) // of a table that stands here
}

func (c columns[R]) names() []string {
	names := make([]string, len(c))
	for i := range c {
		names[i] = c[i].name
	}
	return names
}

func (c columns[R]) types() []clickhouse.ColumnNameAndType {
	types := make([]clickhouse.ColumnNameAndType, len(c))
	for i := range c {
		types[i] = clickhouse.ColumnNameAndType{Name: c[i].name, Type: c[i].as}
	}
	return types
}

// of turns rows into columns, each a slice of one type: what clickhouse-go takes at once,
// without a look at the type of every single value.
func (c columns[R]) of(rows []Row) []any {
	typed := make([]R, len(rows))
	for i, r := range rows {
		typed[i] = r.(R)
	}
	all := make([]any, len(c))
	for i := range c {
		all[i] = c[i].all(typed)
	}
	return all
}

// Columns turns rows of one table into its columns, in the order of Prepare.
func Columns(rows []Row) []any {
	if len(rows) == 0 {
		return nil
	}
	return rows[0].columns(rows)
}

// fill appends columns, as Columns makes them, to an empty batch.
func fill(batch driver.Batch, columns []any) error {
	places := batch.Columns()
	for i, values := range columns {
		if texts, is := values.([]string); is {
			if err := makeRoom(places[i], texts); err != nil {
				return fmt.Errorf("making room in column %s: %w", places[i].Name(), err)
			}
		}
		if err := batch.Column(i).Append(values); err != nil {
			return fmt.Errorf("filling column %s: %w", places[i].Name(), err)
		}
	}
	return nil
}

// worthRoom is how many bytes of text a column must be given before room is made for them.
const worthRoom = 64 << 10

// makeRoom lets a column of text take so much at once. Left to itself it grows text by text,
// a quarter at a time, and so copies a large batch several times over, which takes ten
// times as long as filling it. A column that is reset keeps its room; to fill and reset
// it is the way that the client offers.
func makeRoom(place client.Interface, texts []string) error {
	text, is := place.(*client.String)
	if !is { // over the native protocol it may be a dictionary
		return nil
	}
	bytes := 0
	for _, t := range texts {
		bytes += len(t)
	}
	if bytes < worthRoom {
		return nil
	}
	if _, err := text.Append([]string{strings.Repeat("\x00", bytes)}); err != nil {
		return err
	}
	text.Reset()
	return nil
}
