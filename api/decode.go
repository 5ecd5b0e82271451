package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"recapito/commands"
)

// The rules a member can break before its meaning is looked at.
const (
	wrongType      = "wrong_type"
	unknownMember  = "unknown_member"
	missingField   = "missing_field"
	invalidValue   = "invalid_value"
	tooMany        = "too_many"
	tooLong        = "too_long"
	unknownChannel = "unknown_channel"
)

// maxProblems bounds what one answer lists.
const maxProblems = 100

// object is a JSON object whose members are taken one by one; what is wrong with them
// is collected, each with its place.
type object struct {
	place    string // "" for the body itself, else "to", …
	members  map[string]json.RawMessage
	problems *[]FieldProblem
}

// body answers the whole body as an object.
func body(data []byte) (object, *Problem) {
	if p := checkJSON(data); p != nil {
		return object{}, p
	}
	o := object{problems: new([]FieldProblem)}
	if !o.open(data) {
		return object{}, invalid("body", wrongType, "must be a JSON object")
	}
	return o, nil
}

func (o *object) open(data []byte) bool {
	if first(data) != '{' {
		return false
	}
	return json.Unmarshal(data, &o.members) == nil
}

// first answers the first byte of a value, which tells its type.
func first(data []byte) byte {
	if data = bytes.TrimSpace(data); len(data) > 0 {
		return data[0]
	}
	return 0
}

func (o object) report(place, code, message string) {
	if len(*o.problems) < maxProblems {
		*o.problems = append(*o.problems, FieldProblem{place, code, message})
	}
}

func (o object) at(name string) string {
	if o.place == "" {
		return name
	}
	return o.place + "." + name
}

// problem answers what was collected, nil if nothing.
func (o object) problem() *Problem {
	if len(*o.problems) == 0 {
		return nil
	}
	return newProblem(CodeInvalid, "", *o.problems...)
}

// memberName is what a member of ours could be called. Another name may be anything,
// such as a phone number, and is not repeated.
var memberName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// only refuses every member but these.
func (o object) only(names ...string) {
	var unknown []string
	for name := range o.members {
		if !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		place := "body"
		if memberName.MatchString(name) {
			place = o.at(name)
		} else if o.place != "" {
			place = o.place
		}
		o.report(place, unknownMember, "has no such member")
	}
}

func (o object) text(name string) string {
	raw, given := o.members[name]
	if !given {
		return ""
	}
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		o.report(o.at(name), wrongType, "must be a text (a JSON string)")
	}
	return s
}

func (o object) boolean(name string) bool {
	raw, given := o.members[name]
	if !given {
		return false
	}
	var b bool
	if c := first(raw); c != 't' && c != 'f' || json.Unmarshal(raw, &b) != nil {
		o.report(o.at(name), wrongType, "must be true or false")
	}
	return b
}

// earliest is before every time that makes sense here.
var earliest = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (o object) time(name string) time.Time {
	raw, given := o.members[name]
	if !given {
		return time.Time{}
	}
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		o.report(o.at(name), wrongType, "must be a time as a text, such as 2026-12-01T09:30:00Z")
		return time.Time{}
	}
	t, err := parseTime(s)
	if err != nil {
		o.report(o.at(name), wrongType, err.Error())
	}
	return t
}

// parseTime reads a time of RFC 3339. Errors do not repeat it.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be a time of RFC 3339 with its zone, such as 2026-12-01T09:30:00Z")
	}
	if t.Before(earliest) {
		return time.Time{}, fmt.Errorf("must be later than the year 2000")
	}
	return t, nil
}

// within answers a member that is an object itself.
func (o object) within(name string) object {
	inner := object{place: o.at(name), problems: o.problems}
	if raw, given := o.members[name]; given && !inner.open(raw) {
		o.report(inner.place, wrongType, "must be a JSON object")
	}
	return inner
}

// list answers a member's elements.
func (o object) list(name string) []json.RawMessage {
	raw := o.members[name]
	var all []json.RawMessage
	if first(raw) != '[' || json.Unmarshal(raw, &all) != nil {
		o.report(o.at(name), wrongType, "must be a JSON array")
		return nil
	}
	return all
}

// addresses reads `{"sms": ["+39…"]}`.
func (o object) addresses(name string) map[string][]string {
	to := o.within(name)
	if len(to.members) == 0 {
		return nil
	}
	all := map[string][]string{}
	for channel := range to.members {
		if !memberName.MatchString(channel) {
			o.report(to.place, unknownChannel, "names a channel that has no route")
			continue
		}
		elements := to.list(channel)
		all[channel] = make([]string, 0, min(len(elements), commands.MaxAddressesPerChannel+1))
		for i, e := range elements {
			if i > commands.MaxAddressesPerChannel { // one more than allowed is refused by the command side
				break
			}
			var s string
			if first(e) != '"' || json.Unmarshal(e, &s) != nil {
				o.report(fmt.Sprintf("%s[%d]", to.at(channel), i), wrongType, "must be a text (a JSON string)")
			}
			all[channel] = append(all[channel], s)
		}
	}
	return all
}

var requestMembers = []string{"scenario", "recipient", "to", "fields", "priority", "send_at", "expires_at", "test", "campaign", "reference"}

// request reads what docs/architecture.md calls a request.
func (o object) request() commands.Request {
	o.only(requestMembers...)
	r := commands.Request{
		Scenario: o.text("scenario"), Recipient: o.text("recipient"), To: o.addresses("to"),
		Priority: o.text("priority"), SendAt: o.time("send_at"), ExpiresAt: o.time("expires_at"),
		Test: o.boolean("test"), Campaign: o.text("campaign"), Reference: o.text("reference"),
	}
	if fields := o.within("fields"); len(fields.members) > 0 {
		r.Fields = make(map[string]any, len(fields.members))
		for name, raw := range fields.members {
			r.Fields[name] = raw
		}
	}
	sortProblems(*o.problems)
	return r
}

// sortProblems gives the same answer to the same request: maps have no order.
func sortProblems(ps []FieldProblem) {
	slices.SortStableFunc(ps, func(a, b FieldProblem) int {
		return slices.Compare([]string{a.Field, a.Code}, []string{b.Field, b.Code})
	})
}

// whole answers a number from 1 to most; standard if it is left out.
func (o object) whole(name string, standard, most int) int {
	raw, given := o.members[name]
	if !given {
		return standard
	}
	n := 0
	if json.Unmarshal(raw, &n) != nil || n < 1 || n > most {
		o.report(o.at(name), wrongType, fmt.Sprintf("must be a whole number from 1 to %d", most))
	}
	return n
}
