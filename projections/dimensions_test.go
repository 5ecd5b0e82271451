package projections

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/readmodels"
)

// Every dimension of the domain has its name and a meaning, and is a column of the same
// name: a row that is made of an event has its value there.
func TestEveryDimensionIsAColumn(t *testing.T) {
	var facts notification.Facts
	v := reflect.ValueOf(&facts.Dimensions).Elem()
	want := map[string]string{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || f.Tag.Get("doc") == "" || want[name] != "" {
			t.Errorf("%s: a dimension has a name of its own and a meaning", f.Name)
		}
		switch field := v.FieldByIndex(f.Index); f.Type.Kind() {
		case reflect.String:
			want[name] = "the " + name
			field.SetString(want[name])
		case reflect.Bool:
			want[name] = "true"
			field.SetBool(true)
		default:
			t.Fatalf("%s is a %s", f.Name, f.Type)
		}
	}
	row := readmodels.EDR{Dimensions: dimensionsOf(facts)}
	columns, values := readmodels.ColumnsOf[readmodels.EDR](), readmodels.ValuesOf(nil, row)
	listed := readmodels.EDRDimensions()
	for name, value := range want {
		i := slices.IndexFunc(columns, func(c readmodels.Column) bool { return c.Name == name })
		if i < 0 {
			t.Errorf("the EDR has no column %s", name)
			continue
		}
		if got := values[i]; got != value && got != (value == "true") {
			t.Errorf("the column %s has %v", name, got)
		}
		l := slices.IndexFunc(listed, func(d readmodels.Dimension) bool { return d.Name == name })
		if l < 0 {
			t.Errorf("%s is not among the EDR's dimensions", name)
			continue
		}
		if ofAttempt := v.FieldByName("OfAttempt").Type(); listed[l].OfAttempt != hasColumn(ofAttempt, name) {
			t.Errorf("%s is a dimension of attempts: %v", name, listed[l].OfAttempt)
		}
	}
	if len(listed) != len(want) {
		t.Errorf("%d dimensions are listed, of %d", len(listed), len(want))
	}
	if d := (dimension.Dimensions{}); dimensionsOf(notification.Facts{Dimensions: d}) != (readmodels.Dimensions{}) {
		t.Error("dimensions of nothing")
	}
}

func hasColumn(t reflect.Type, name string) bool {
	return slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		named, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return named == name
	})
}

// A cell has the dimensions that its table counts by, and no others.
func TestCellsHaveTheirDimensions(t *testing.T) {
	all := readmodels.Dimensions{}
	v := reflect.ValueOf(&all).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		switch field := v.FieldByIndex(f.Index); field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		}
	}
	for name, cell := range map[string]struct {
		has    readmodels.Dimensions
		listed []readmodels.Dimension
	}{
		"accounting": {all.ForAccounting(), readmodels.AccountingDimensions()},
		"rollups":    {all.ForRollups(), readmodels.RollupDimensions()},
	} {
		v := reflect.ValueOf(cell.has)
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.Anonymous {
				continue
			}
			listed := slices.ContainsFunc(cell.listed, func(d readmodels.Dimension) bool { return d.Name == f.Tag.Get("ch") })
			if has := !v.FieldByIndex(f.Index).IsZero(); has != listed {
				t.Errorf("a cell of %s has %s: %v; its table has the column: %v", name, f.Name, has, listed)
			}
		}
	}
}
