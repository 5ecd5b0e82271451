package readmodels

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what the values of a column are, and their Go type in a row. A value that is
// not known is nil, whatever the kind.
type Kind string

// The kinds of columns.
const (
	Text   Kind = "text"   // string
	Whole  Kind = "whole"  // int64
	Real   Kind = "real"   // float64
	Truth  Kind = "truth"  // bool
	Moment Kind = "moment" // time.Time, UTC, to the microsecond
	Date   Kind = "date"   // time.Time, the day's beginning in UTC
	Amount Kind = "amount" // string: a decimal number with at most six places
	Object Kind = "object" // string: JSON
)

// Column is a column of a report.
type Column struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
}

// structColumn is where a struct keeps a column.
type structColumn struct {
	Column
	index []int
}

var structColumns sync.Map // reflect.Type → []structColumn

// columnsOf are the columns of a struct of rows: its members with a tag ch, in order.
func columnsOf(t reflect.Type) []structColumn {
	if known, ok := structColumns.Load(t); ok {
		return known.([]structColumn)
	}
	var all []structColumn
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("ch"); name != "" && name != "-" && !f.Anonymous {
			all = append(all, structColumn{Column{name, kindOf(name, f.Type)}, f.Index})
		}
	}
	structColumns.Store(t, all)
	return all
}

func kindOf(name string, t reflect.Type) Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]() && name == "day":
		return Date
	case t == reflect.TypeFor[time.Time]():
		return Moment
	case strings.HasSuffix(name, "_amount"), t.Kind() == reflect.Struct: // a decimal number, which is written as a text
		return Amount
	}
	switch t.Kind() {
	case reflect.Bool:
		return Truth
	case reflect.Float32, reflect.Float64:
		return Real
	case reflect.String:
		return Text
	case reflect.Map, reflect.Slice:
		return Object
	default:
		return Whole
	}
}

// ColumnsOf are the columns of a struct of rows, such as EDR.
func ColumnsOf[T any]() []Column {
	var all []Column
	for _, c := range columnsOf(reflect.TypeFor[T]()) {
		all = append(all, c.Column)
	}
	return all
}

// ValuesOf are a row's values, as ColumnsOf lists them, appended to some.
func ValuesOf[T any](some []any, row T) []any {
	v := reflect.ValueOf(row)
	columns := columnsOf(v.Type())
	some = slices.Grow(some, len(columns))
	for _, c := range columns {
		some = append(some, plain(c.Kind, v.FieldByIndex(c.index)))
	}
	return some
}

// plain is a value by its kind.
func plain(kind Kind, v reflect.Value) any {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch kind {
	case Moment, Date:
		return v.Interface().(time.Time).UTC()
	case Amount:
		return fmt.Sprint(v.Interface())
	case Truth:
		return v.Bool()
	case Real:
		return v.Float()
	case Text:
		return v.String()
	case Object:
		text, err := json.Marshal(v.Interface())
		if err != nil {
			panic("readmodels: a column does not marshal: " + err.Error()) // plain types only
		}
		return string(text)
	}
	if v.CanUint() {
		return int64(v.Uint()) //nolint:gosec // counts and positions are below 2^63
	}
	return v.Int()
}
