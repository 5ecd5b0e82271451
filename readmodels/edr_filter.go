package readmodels

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// EDRFilter narrows an EDR query; its zero value does not.
type EDRFilter struct {
	// Is holds what columns of EDRFilters must be; a column without an entry, or with an
	// empty one, may be anything.
	Is map[string]string `json:",omitempty"`
	// Test is whether only tests, or none; nil is both.
	Test *bool `json:",omitempty"`
	// Within bounds columns of EDRLatencies, in milliseconds, both ends included. An
	// attempt that has not got so far has no latency, and is in no bounds.
	Within map[string]Bounds `json:",omitempty"`
	// ChangedAfter asks for attempts whose change position is higher: those restated since
	// an extract that went so far.
	ChangedAfter *uint64 `json:",omitempty"`
}

// Bounds of a number, both included; nil is open.
type Bounds struct {
	Least *int64 `json:"least,omitempty"`
	Most  *int64 `json:"most,omitempty"`
}

// edrFilters are the columns of text that a query can narrow by; edrKeyColumns those of
// them that the partial rows are found by.
var (
	edrFilters    = slices.Concat([]string{"notification", "person"}, edrDimensions.textNames(), []string{"kind", "status", "code"})
	edrKeyColumns = []string{"notification", "person"}
	edrLatencies  = []string{"queue_ms", "submit_ms", "delivery_ms"}
)

// EDRFilters are the columns of text that EDRFilter.Is takes.
func EDRFilters() []string { return slices.Clone(edrFilters) }

// EDRLatencies are the columns that EDRFilter.Within takes.
func EDRLatencies() []string { return slices.Clone(edrLatencies) }

func (f EDRFilter) check() error {
	for column := range f.Is {
		if !slices.Contains(edrFilters, column) {
			return fmt.Errorf("%w: the EDR has no column %q to narrow by", ErrBadQuery, column)
		}
	}
	for column := range f.Within {
		if !slices.Contains(edrLatencies, column) {
			return fmt.Errorf("%w: the EDR has no latency %q", ErrBadQuery, column)
		}
	}
	return nil
}

// keyed returns whether an index of the partial rows finds the attempts of the filter.
func (f EDRFilter) keyed() bool {
	return f.ChangedAfter != nil || f.byColumn()
}

func (f EDRFilter) byColumn() bool {
	return slices.ContainsFunc(edrKeyColumns, func(column string) bool { return f.Is[column] != "" })
}

// narrow adds the filter to a condition on the view.
func (f EDRFilter) narrow(w *where) {
	for _, column := range edrFilters {
		if v := f.Is[column]; v != "" {
			w.add(column+" = {is_"+column+":String}", "is_"+column, v)
		}
	}
	if f.Test != nil {
		w.add("test = {test:Bool}", "test", *f.Test)
	}
	if f.ChangedAfter != nil {
		w.add("changed > {changed_after:UInt64}", "changed_after", *f.ChangedAfter)
	}
	for _, column := range edrLatencies {
		b := f.Within[column]
		if b.Least != nil {
			w.add(column+" >= {least_"+column+":Int64}", "least_"+column, *b.Least)
		}
		if b.Most != nil {
			w.add(column+" <= {most_"+column+":Int64}", "most_"+column, *b.Most)
		}
	}
}

// Fits returns whether the query asks for a row, wherever its cursor is: for rows that do
// not come from the view.
func (q EDRQuery) Fits(r EDR) bool {
	if r.Tenant != q.Tenant ||
		!q.From.IsZero() && (r.DueAt == nil || r.DueAt.Before(q.From)) ||
		!q.To.IsZero() && (r.DueAt == nil || !r.DueAt.Before(q.To)) ||
		q.Test != nil && r.Test != *q.Test || q.ChangedAfter != nil && r.Changed <= *q.ChangedAfter {
		return false
	}
	v := reflect.ValueOf(r)
	for column, want := range q.Is {
		if want != "" && v.FieldByIndex(edrFields()[column]).String() != want {
			return false
		}
	}
	for column, b := range q.Within {
		ms, _ := v.FieldByIndex(edrFields()[column]).Interface().(*int64)
		if b.Least != nil && (ms == nil || *ms < *b.Least) || b.Most != nil && (ms == nil || *ms > *b.Most) {
			return false
		}
	}
	return true
}

// edrFields are the places of the columns in EDR.
var edrFields = sync.OnceValue(func() map[string][]int {
	all := map[string][]int{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[EDR]()) {
		if name := f.Tag.Get("ch"); name != "" && name != "-" {
			all[name] = f.Index
		}
	}
	return all
})

// canonical is the filter as a text: the same for the same filter.
func (f EDRFilter) canonical() []byte {
	f.Is = maps.Clone(f.Is)
	maps.DeleteFunc(f.Is, func(_, v string) bool { return v == "" })
	text, err := json.Marshal(f) // sorts the maps
	if err != nil {
		panic("readmodels: a filter does not marshal: " + err.Error()) // plain types only
	}
	return text
}
