package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The codes of the rules that a member can break before its meaning is looked at.
const (
	WrongType     = "wrong_type"
	UnknownMember = "unknown_member"
	MissingField  = "missing_field"
	InvalidValue  = "invalid_value"
)

// MaxProblems bounds what one refusal lists.
const MaxProblems = 100

// Problem is one broken rule: its place and the rule, never the value.
type Problem struct{ Field, Code, Message string }

// Invalid is the error of what breaks rules: all of them.
type Invalid struct{ Problems []Problem }

func (e *Invalid) Error() string {
	places := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		places[i] = p.Field + ": " + p.Message
	}
	return strings.Join(places, "; ")
}

// Object is a JSON object whose members are taken one by one. What is wrong with them is
// collected, each with its place.
type Object struct {
	place    string // "" for the document itself, else "to", …
	members  map[string]json.RawMessage
	problems *[]Problem
}

// Parse reads a document that must be an object. The error is a *DocumentError or a
// *Invalid.
func Parse(data []byte) (Object, error) {
	if err := Check(data); err != nil {
		return Object{}, err
	}
	o := Object{problems: new([]Problem)}
	if !o.open(data) {
		return Object{}, &Invalid{[]Problem{{"body", WrongType, "must be a JSON object"}}}
	}
	return o, nil
}

// Element reads a value of a document that was checked before. ok is false unless it is an
// object.
func Element(value []byte) (o Object, ok bool) {
	o = Object{problems: new([]Problem)}
	return o, o.open(value)
}

func (o *Object) open(data []byte) bool {
	if first(data) != '{' {
		return false
	}
	return json.Unmarshal(data, &o.members) == nil
}

// first returns the first byte of a value, which decides its type.
func first(data []byte) byte {
	if data = bytes.TrimSpace(data); len(data) > 0 {
		return data[0]
	}
	return 0
}

// Report collects a broken rule, up to MaxProblems.
func (o Object) Report(place, code, message string) {
	if len(*o.problems) < MaxProblems {
		*o.problems = append(*o.problems, Problem{place, code, message})
	}
}

// At is the place of a member.
func (o Object) At(name string) string {
	if o.place == "" {
		return name
	}
	return o.place + "." + name
}

// Problems are what was collected, in the order of their places: the same for the same
// document.
func (o Object) Problems() []Problem {
	SortProblems(*o.problems)
	return *o.problems
}

// Err is a *Invalid with what was collected; nil if nothing was.
func (o Object) Err() error {
	if len(*o.problems) == 0 {
		return nil
	}
	return &Invalid{o.Problems()}
}

// MemberName is the form of names of members. Another name may be anything, such as a
// phone number, and is not repeated.
var MemberName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// Only refuses every member but these.
func (o Object) Only(names ...string) {
	var unknown []string
	for name := range o.members {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		place := "body"
		if MemberName.MatchString(name) {
			place = o.At(name)
		} else if o.place != "" {
			place = o.place
		}
		o.Report(place, UnknownMember, "has no such member")
	}
}

// Text takes a member that is a text; empty if it is left out.
func (o Object) Text(name string) string {
	raw, given := o.members[name]
	if !given {
		return ""
	}
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		o.Report(o.At(name), WrongType, "must be a text (a JSON string)")
	}
	return s
}

// Bool takes a member that is true or false; false if it is left out.
func (o Object) Bool(name string) bool {
	raw, given := o.members[name]
	if !given {
		return false
	}
	var b bool
	if c := first(raw); c != 't' && c != 'f' || json.Unmarshal(raw, &b) != nil {
		o.Report(o.At(name), WrongType, "must be true or false")
	}
	return b
}

// earliest is before every time that makes sense here.
var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Time takes a member that is a time of RFC 3339; zero if it is left out.
func (o Object) Time(name string) time.Time {
	raw, given := o.members[name]
	if !given {
		return time.Time{}
	}
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		o.Report(o.At(name), WrongType, "must be a time as a text, such as 2026-12-01T09:30:00Z")
		return time.Time{}
	}
	t, err := ParseTime(s)
	if err != nil {
		o.Report(o.At(name), WrongType, err.Error())
	}
	return t
}

// ParseTime reads a time of RFC 3339. Errors do not repeat it.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a time of RFC 3339 with its zone, such as 2026-12-01T09:30:00Z")
	}
	if t.Before(earliest) {
		return time.Time{}, fmt.Errorf("must be later than the year 2000")
	}
	return t, nil
}

// Within takes a member that is an object itself; one without members if it is left out.
func (o Object) Within(name string) Object {
	inner := Object{place: o.At(name), problems: o.problems}
	if raw, given := o.members[name]; given && !inner.open(raw) {
		o.Report(inner.place, WrongType, "must be a JSON object")
	}
	return inner
}

// Embedded takes a member that is a document of its own: places are counted from it. It is
// required.
func (o Object) Embedded(name string) Object {
	inner := Object{problems: o.problems}
	switch raw, given := o.members[name]; {
	case !given:
		o.Report(o.At(name), MissingField, "is required")
	case !inner.open(raw):
		o.Report(o.At(name), WrongType, "must be a JSON object")
	}
	return inner
}

// List takes the elements of a member that is an array.
func (o Object) List(name string) []json.RawMessage {
	raw := o.members[name]
	var all []json.RawMessage
	if first(raw) != '[' || json.Unmarshal(raw, &all) != nil {
		o.Report(o.At(name), WrongType, "must be a JSON array")
		return nil
	}
	return all
}

// SortProblems orders problems by place and code: maps have no order, and the same
// document must have the same refusal.
func SortProblems(ps []Problem) {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return slices.Compare([]string{a.Field, a.Code}, []string{b.Field, b.Code})
	})
}

// Integer takes a number from 1 to most; standard if it is left out.
func (o Object) Integer(name string, standard, most int) int {
	raw, given := o.members[name]
	if !given {
		return standard
	}
	n := 0
	if json.Unmarshal(raw, &n) != nil || n < 1 || n > most {
		o.Report(o.At(name), WrongType, fmt.Sprintf("must be an integer from 1 to %d", most))
	}
	return n
}

// Has reports whether the object has a member.
func (o Object) Has(name string) bool {
	_, given := o.members[name]
	return given
}

// Raw is a member as it stands; nil if it is left out.
func (o Object) Raw(name string) json.RawMessage { return o.members[name] }

// Names are the names of the members, in order.
func (o Object) Names() []string { return slices.Sorted(maps.Keys(o.members)) }

// Place is where the object stands in the document; "body" for the document itself.
func (o Object) Place() string {
	if o.place == "" {
		return "body"
	}
	return o.place
}

// Texts takes the elements, at most most of them, of a member that is an array of texts;
// more are left for the caller to refuse by their number.
func (o Object) Texts(name string, most int) []string {
	elements := o.List(name)
	all := make([]string, 0, min(len(elements), most))
	for i, e := range elements[:min(len(elements), most)] {
		var s string
		if first(e) != '"' || json.Unmarshal(e, &s) != nil {
			o.Report(fmt.Sprintf("%s[%d]", o.At(name), i), WrongType, "must be a text (a JSON string)")
		}
		all = append(all, s)
	}
	return all
}
