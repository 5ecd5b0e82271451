package export

import (
	"fmt"
	"io"
	"math"
	"math/big"
	"reflect"
	"time"

	"github.com/parquet-go/parquet-go"

	"recapito/readmodels"
)

// rowGroup is how many rows are held, encoded, until they are written.
const rowGroup = 20_000

// The decimal numbers of amounts.
const (
	amountScale     = 6
	amountPrecision = 18
)

const dayOf = 24 * time.Hour

// parquetFile is Apache Parquet, compressed by Snappy, a row group every rowGroup rows.
// Every column is optional: what is not known is null.
type parquetFile struct {
	to      *parquet.GenericWriter[any]
	columns []readmodels.Column
	values  parquet.Row
	held    int
}

func newParquet(to io.Writer, columns []readmodels.Column) *parquetFile {
	root := orderedGroup{Group: parquet.Group{}}
	for _, c := range columns {
		root.fields = append(root.fields, orderedField{parquet.Compressed(parquet.Optional(nodeOf(c.Kind)), &parquet.Snappy), c.Name})
	}
	return &parquetFile{
		to: parquet.NewGenericWriter[any](to, parquet.NewSchema("report", root), parquet.CreatedBy("recapito", "", "")), columns: columns,
		values: make(parquet.Row, len(columns)),
	}
}

func nodeOf(kind readmodels.Kind) parquet.Node {
	switch kind {
	case readmodels.Whole:
		return parquet.Int(64)
	case readmodels.Real:
		return parquet.Leaf(parquet.DoubleType)
	case readmodels.Truth:
		return parquet.Leaf(parquet.BooleanType)
	case readmodels.Moment:
		return parquet.Timestamp(parquet.Microsecond)
	case readmodels.Date:
		return parquet.Date()
	case readmodels.Amount:
		return parquet.Decimal(amountScale, amountPrecision, parquet.Int64Type)
	default: // texts, and JSON: as a text every reader knows it
		return parquet.String()
	}
}

func (f *parquetFile) row(values []any) error {
	for i, v := range values {
		p, err := parquetValue(f.columns[i].Kind, v)
		if err != nil {
			return err
		}
		defined := 1
		if v == nil {
			defined = 0
		}
		f.values[i] = p.Level(0, defined, i)
	}
	if _, err := f.to.WriteRows([]parquet.Row{f.values}); err != nil {
		return err
	}
	if f.held++; f.held == rowGroup {
		f.held = 0
		return f.to.Flush()
	}
	return nil
}

func (f *parquetFile) close() error { return f.to.Close() }

func parquetValue(kind readmodels.Kind, v any) (parquet.Value, error) {
	switch v := v.(type) {
	case nil:
		return parquet.NullValue(), nil
	case string:
		if kind == readmodels.Amount {
			return amountValue(v)
		}
		return parquet.ByteArrayValue([]byte(v)), nil
	case int64:
		return parquet.Int64Value(v), nil
	case bool:
		return parquet.BooleanValue(v), nil
	case float64:
		return parquet.DoubleValue(v), nil
	case time.Time:
		if kind == readmodels.Date {
			return parquet.Int32Value(int32(v.Unix() / int64(dayOf/time.Second))), nil //nolint:gosec // a day of ClickHouse's Date
		}
		return parquet.Int64Value(v.UnixMicro()), nil
	}
	return parquet.Value{}, fmt.Errorf("a value of type %T", v)
}

// amountValue is a decimal text as an integer of millionths.
func amountValue(text string) (parquet.Value, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return parquet.Value{}, fmt.Errorf("an amount that is no number")
	}
	r.Mul(r, new(big.Rat).SetInt64(int64(math.Pow10(amountScale))))
	if !r.IsInt() || !r.Num().IsInt64() {
		return parquet.Value{}, fmt.Errorf("an amount of more than %d places or %d digits", amountScale, amountPrecision)
	}
	return parquet.Int64Value(r.Num().Int64()), nil
}

// orderedGroup is a group whose fields stay in their order; the library's own sorts them
// by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g orderedGroup) Fields() []parquet.Field { return g.fields }

type orderedField struct {
	parquet.Node
	name string
}

func (f orderedField) Name() string { return f.name }

// Value is for rows that are Go structs; rows are written as values here.
func (f orderedField) Value(base reflect.Value) reflect.Value { return base.FieldByName(f.name) }
