// Package dimension lists what notifications and attempts are counted, filtered and
// grouped by. A dimension is one field of one struct here: the events that embed the
// struct carry it, and rows, cells, filters and SQL take its name, type and meaning from
// Fields.
//
// The JSON name of a field is the dimension's name everywhere: in events, columns, reports
// and the API. No dimension holds personal data.
package dimension

import (
	"reflect"
	"strings"
)

// OfNotification are the dimensions that are known from the request on.
type OfNotification struct {
	Scenario string `json:"scenario,omitempty" doc:"the scenario's name"`
	Version  string `json:"version,omitempty" doc:"the scenario's version"`
	Brand    string `json:"brand,omitempty" doc:"the scenario's brand"`
	Segment  string `json:"segment,omitempty" doc:"the part of the business that the scenario serves"`
	Campaign string `json:"campaign,omitempty" doc:"the request's campaign"`
	Priority string `json:"priority,omitempty" doc:"high, normal or low"`
	Test     bool   `json:"test,omitempty" doc:"the request is a test"`
}

// OfAttempt are the dimensions that are known once an attempt is planned.
type OfAttempt struct {
	Channel  string `json:"channel,omitempty" doc:"the channel's name"`
	Route    string `json:"route,omitempty" doc:"the route's name"`
	Sender   string `json:"sender,omitempty" doc:"what the message is sent as"`
	Country  string `json:"country,omitempty" doc:"of the destination: ISO 3166-1 alpha-2"`
	Operator string `json:"operator,omitempty" doc:"of the destination, as far as known"`
}

// Dimensions are all of them. Of what concerns a notification as a complete, those of an
// attempt are empty.
type Dimensions struct {
	OfNotification
	OfAttempt
}

// Level is what a dimension belongs to.
type Level uint8

// The levels of dimensions.
const (
	Notification Level = iota // one value a notification
	Attempt                   // one value an attempt
)

// Field is one dimension.
type Field struct {
	Name  string // as in JSON, columns, reports and the API
	Doc   string // what it means
	Level Level
	Kind  reflect.Kind // String or Bool
	index []int
}

var fields = fieldsOf(reflect.TypeFor[Dimensions](), nil)

// Fields returns every dimension, in the order of the structs. The slice is shared: it
// must not be changed.
func Fields() []Field { return fields }

// Named returns the dimension of a name.
func Named(name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}

// Text returns the dimension's value; of a Bool "true" or "".
func (f Field) Text(d *Dimensions) string {
	v := reflect.ValueOf(d).Elem().FieldByIndex(f.index)
	if f.Kind == reflect.Bool {
		if v.Bool() {
			return "true"
		}
		return ""
	}
	return v.String()
}

// Bool returns the value of a dimension whose Kind is Bool, and false of any other.
func (f Field) Bool(d *Dimensions) bool {
	return f.Kind == reflect.Bool && reflect.ValueOf(d).Elem().FieldByIndex(f.index).Bool()
}

// Set changes the dimension's value to what Text returned.
func (f Field) Set(d *Dimensions, text string) {
	v := reflect.ValueOf(d).Elem().FieldByIndex(f.index)
	if f.Kind == reflect.Bool {
		v.SetBool(text == "true")
		return
	}
	v.SetString(text)
}

func fieldsOf(t reflect.Type, at []int) (all []Field) {
	for i := range t.NumField() {
		index := append(append([]int(nil), at...), i)
		sf := t.Field(i)
		if sf.Anonymous {
			all = append(all, fieldsOf(sf.Type, index)...)
			continue
		}
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		f := Field{Name: name, Doc: sf.Tag.Get("doc"), Kind: sf.Type.Kind(), index: index}
		if t == reflect.TypeFor[OfAttempt]() {
			f.Level = Attempt
		}
		all = append(all, f)
	}
	return all
}
