package reconcile

import (
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"strings"
	"time"
)

// Difference is a place where the read models differ from a fold of the store.
type Difference struct {
	Table string `json:"table"`
	Key   string `json:"key"`  // stream@revision, tenant/day/notification/attempt, a cell, …
	What  string `json:"what"` // missing, extra, repeated, or the columns that differ
}

func (d Difference) String() string { return fmt.Sprintf("%s %s: %s", d.Table, d.Key, d.What) }

// differ names the columns in which two rows of one type differ, with the numbers of
// those that are numbers: no text, which could be personal.
func differ(want, got any) string {
	return strings.Join(columnsThatDiffer(nil, reflect.ValueOf(want), reflect.ValueOf(got)), ", ")
}

func columnsThatDiffer(names []string, want, got reflect.Value) []string {
	for i := range want.NumField() {
		field := want.Type().Field(i)
		name := field.Tag.Get("ch")
		switch {
		case field.Anonymous:
			names = columnsThatDiffer(names, want.Field(i), got.Field(i))
		case name == "-" || same(want.Field(i).Interface(), got.Field(i).Interface()):
		case got.Field(i).CanInt() || got.Field(i).CanUint():
			names = append(names, fmt.Sprintf("%s is %v, not %v", name, got.Field(i), want.Field(i)))
		default:
			names = append(names, name)
		}
	}
	return names
}

func same(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		return a.Equal(b.(time.Time))
	case *time.Time:
		b := b.(*time.Time)
		return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
	case map[string]string:
		return maps.Equal(a, b.(map[string]string)) // none and empty are the same
	}
	return reflect.DeepEqual(a, b)
}

// fingerprints are of rows of one process: equal rows have equal ones, and two others
// have one in 2^64.
var fingerprints = maphash.MakeSeed()

func fingerprint(row any) uint64 {
	var h maphash.Hash
	h.SetSeed(fingerprints)
	fingerprintInto(&h, reflect.ValueOf(row))
	return h.Sum64()
}

func fingerprintInto(h *maphash.Hash, v reflect.Value) {
	if t, is := v.Interface().(time.Time); is {
		maphash.WriteComparable(h, t.UnixNano())
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("ch") != "-" {
				fingerprintInto(h, v.Field(i))
			}
		}
	case reflect.Pointer:
		maphash.WriteComparable(h, v.IsNil())
		if !v.IsNil() {
			fingerprintInto(h, v.Elem())
		}
	case reflect.Slice:
		maphash.WriteComparable(h, v.Len())
		for i := range v.Len() {
			fingerprintInto(h, v.Index(i))
		}
	case reflect.Map:
		maphash.WriteComparable(h, v.Len())
		var sum uint64 // in no order
		for _, k := range v.MapKeys() {
			var one maphash.Hash
			one.SetSeed(fingerprints)
			fingerprintInto(&one, k)
			fingerprintInto(&one, v.MapIndex(k))
			sum += one.Sum64()
		}
		maphash.WriteComparable(h, sum)
	default:
		maphash.WriteComparable(h, v.Interface())
	}
}
