package dimension_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"recapito/domain/dimension"
)

// Each dimension has a name and a meaning, is a text or a flag, and is read and set by
// its field: what JSON writes under the name is what Set was given.
func TestFields(t *testing.T) {
	names := map[string]bool{}
	for _, f := range dimension.Fields() {
		if f.Name == "" || f.Doc == "" || names[f.Name] {
			t.Errorf("%+v: a dimension has a name of its own and a meaning", f)
		}
		names[f.Name] = true
		if got, ok := dimension.Named(f.Name); !ok || got.Doc != f.Doc {
			t.Errorf("%s is not found by its name", f.Name)
		}
		var d dimension.Dimensions
		want, given := any("x"), "x"
		switch f.Kind {
		case reflect.String:
		case reflect.Bool:
			want, given = true, "true"
		default:
			t.Fatalf("%s is a %v", f.Name, f.Kind)
		}
		f.Set(&d, given)
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[f.Name] != want || f.Text(&d) != given || f.Bool(&d) != (f.Kind == reflect.Bool) {
			t.Errorf("%s: %s, %q", f.Name, data, f.Text(&d))
		}
		if of := reflect.ValueOf(d.OfAttempt).IsZero(); of == (f.Level == dimension.Attempt) {
			t.Errorf("%s has level %d", f.Name, f.Level)
		}
		f.Set(&d, "")
		if d != (dimension.Dimensions{}) {
			t.Errorf("%s is not emptied: %+v", f.Name, d)
		}
	}
	if _, ok := dimension.Named("recipient"); ok {
		t.Error("recipient is no dimension")
	}
	if len(names) < 12 {
		t.Errorf("%d dimensions", len(names))
	}
}
