package readmodels

import (
	"reflect"
	"time"
)

// Columns turns rows of one table into its columns, each a slice of one type: what
// clickhouse-go takes at once, without a look at the type of every single value.
func Columns(rows []Row) []any {
	if len(rows) == 0 {
		return nil
	}
	first := rows[0].values()
	columns := make([]column, len(first))
	for i, v := range first {
		columns[i] = newColumn(v, len(rows))
	}
	for n, r := range rows {
		for i, v := range r.values() {
			columns[i].set(n, v)
		}
	}
	all := make([]any, len(columns))
	for i, c := range columns {
		all[i] = c.slice()
	}
	return all
}

// column is a slice being filled.
type column interface {
	set(i int, v any)
	slice() any
}

func newColumn(v any, rows int) column {
	switch v.(type) {
	case string:
		return make(values[string], rows)
	case bool:
		return make(values[bool], rows)
	case uint16:
		return make(values[uint16], rows)
	case uint64:
		return make(values[uint64], rows)
	case int64:
		return make(values[int64], rows)
	case time.Time:
		return make(values[time.Time], rows)
	case *time.Time:
		return make(values[*time.Time], rows)
	}
	return others{reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(v)), rows, rows)}
}

type values[T any] []T

func (c values[T]) set(i int, v any) { c[i] = v.(T) }
func (c values[T]) slice() any       { return []T(c) }

// others are of any other type.
type others struct{ reflect.Value }

func (c others) set(i int, v any) { c.Index(i).Set(reflect.ValueOf(v)) }
func (c others) slice() any       { return c.Interface() }
