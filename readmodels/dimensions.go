package readmodels

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// OfNotification are the dimensions that are known from the request on. Its fields are those
// of the domain's struct of this name, in that order: the projections convert one to the
// other, which does not compile if a field is missing.
type OfNotification struct {
	Scenario string `ch:"scenario" json:"scenario,omitempty"`
	Version  string `ch:"version" json:"version,omitempty" doc:"Of the scenario."`
	Brand    string `ch:"brand" json:"brand,omitempty" doc:"Of the scenario."`
	Segment  string `ch:"segment" json:"segment,omitempty" doc:"Of the scenario."`
	Campaign string `ch:"campaign" json:"campaign,omitempty" doc:"Of the request."`
	Priority string `ch:"priority" json:"priority,omitempty"`
	Test     bool   `ch:"test" json:"test,omitempty" doc:"The request is a test."`
}

// OfAttempt are the dimensions that are known once an attempt is planned; as OfNotification.
type OfAttempt struct {
	Channel  string `ch:"channel" json:"channel,omitempty"`
	Route    string `ch:"route" json:"route,omitempty"`
	Sender   string `ch:"sender" json:"sender,omitempty"`
	Country  string `ch:"country" json:"country,omitempty" doc:"Two letters (ISO 3166)."`
	Operator string `ch:"operator" json:"operator,omitempty"`
}

// Dimensions are all of them. Rows and cells embed them; those that a table has no column
// of are empty in its rows and cells.
type Dimensions struct {
	OfAttempt
	OfNotification
}

// table is one that has dimensions, and a set of those.
type table uint8

const (
	inEDR table = 1 << iota
	inNotifications
	inAccounting
	inRollups

	inCounts   = inAccounting | inRollups
	everywhere = inEDR | inNotifications | inAccounting | inRollups
)

// dimensions is every dimension, with the tables that have a column of its name and type:
// what columns, filters, groups and parameters are made of. (Scenario and version of a
// notification share a column of another type: see notificationColumns.)
var dimensions = dimensionList{
	{"channel", inEDR | inCounts, func(d *Dimensions) any { return &d.Channel }},
	{"scenario", inEDR | inCounts, func(d *Dimensions) any { return &d.Scenario }},
	{"version", inEDR, func(d *Dimensions) any { return &d.Version }},
	{"brand", everywhere, func(d *Dimensions) any { return &d.Brand }},
	{"segment", everywhere, func(d *Dimensions) any { return &d.Segment }},
	{"campaign", everywhere, func(d *Dimensions) any { return &d.Campaign }},
	{"priority", inEDR | inNotifications, func(d *Dimensions) any { return &d.Priority }},
	{"route", inEDR | inAccounting, func(d *Dimensions) any { return &d.Route }},
	{"sender", inEDR, func(d *Dimensions) any { return &d.Sender }},
	{"operator", inEDR | inCounts, func(d *Dimensions) any { return &d.Operator }},
	{"country", inEDR | inCounts, func(d *Dimensions) any { return &d.Country }},
	{"test", everywhere, func(d *Dimensions) any { return &d.Test }},
}

// dimension is one of them.
type dimension struct {
	name string
	in   table
	at   func(*Dimensions) any // its value: *string or *bool
}

// flag is whether the dimension is true or false, and not a text.
func (d dimension) flag() bool {
	_, is := d.at(&Dimensions{}).(*bool)
	return is
}

type dimensionList []dimension

var (
	edrDimensions          = dimensions.in(inEDR)
	notificationDimensions = dimensions.in(inNotifications)
	accountingDimensions   = dimensions.in(inAccounting)
	rollupDimensions       = dimensions.in(inRollups)
)

func (l dimensionList) in(t table) dimensionList {
	return slices.DeleteFunc(slices.Clone(l), func(d dimension) bool { return d.in&t == 0 })
}

func (l dimensionList) names() []string {
	var all []string
	for _, d := range l {
		all = append(all, d.name)
	}
	return all
}

// textNames are the names of those that are texts.
func (l dimensionList) textNames() []string {
	return slices.DeleteFunc(slices.Clone(l), dimension.flag).names()
}

// list is the names as SQL lists them.
func (l dimensionList) list() string { return strings.Join(l.names(), ", ") }

// texts are the values, as ClickHouse's toString writes them.
func (l dimensionList) texts(of *Dimensions) []string {
	all := make([]string, 0, len(l))
	for _, d := range l {
		switch value := d.at(of).(type) {
		case *string:
			all = append(all, *value)
		case *bool:
			all = append(all, strconv.FormatBool(*value))
		}
	}
	return all
}

// merge gives to what another row of the same notification or attempt has: a value is the
// same in both, or missing from one.
func (l dimensionList) merge(to, from *Dimensions) {
	for _, d := range l {
		switch value := d.at(to).(type) {
		case *string:
			*value = max(*value, *d.at(from).(*string))
		case *bool:
			*value = *value || *d.at(from).(*bool)
		}
	}
}

// ForAccounting returns what a cell of accounting has of the dimensions: a test compares it
// with the list.
func (d Dimensions) ForAccounting() Dimensions {
	d.Sender, d.Version, d.Priority = "", "", ""
	return d
}

// ForRollups returns the same for a cell of rollups.
func (d Dimensions) ForRollups() Dimensions {
	d.Route, d.Sender, d.Version, d.Priority = "", "", "", ""
	return d
}

// dimensionColumns are the columns of a table whose rows embed Dimensions.
func dimensionColumns[R any](l dimensionList, in func(*R) *Dimensions) columns[R] {
	var all columns[R]
	for _, d := range l {
		if d.flag() {
			all = append(all, of(d.name, func(r *R) bool { return *d.at(in(r)).(*bool) }))
		} else {
			all = append(all, of(d.name, func(r *R) string { return *d.at(in(r)).(*string) }))
		}
	}
	return all
}

// Dimension is one as an API documents it.
type Dimension struct {
	Name, Doc string
	Flag      bool // true or false, and not a text
	OfAttempt bool // a notification has none of its own
}

// EDRDimensions are those of an attempt.
func EDRDimensions() []Dimension { return edrDimensions.documented() }

// RollupDimensions are those that rollups count by. Accounting has them too.
func RollupDimensions() []Dimension { return rollupDimensions.documented() }

// AccountingDimensions are those that accounting counts by.
func AccountingDimensions() []Dimension { return accountingDimensions.documented() }

func (l dimensionList) documented() []Dimension {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Dimensions]()) {
		fields[f.Tag.Get("ch")] = f
	}
	ofAttempt, _ := reflect.TypeFor[Dimensions]().FieldByName("OfAttempt")
	var all []Dimension
	for _, d := range l {
		f := fields[d.name]
		all = append(all, Dimension{Name: d.name, Doc: f.Tag.Get("doc"), Flag: d.flag(), OfAttempt: f.Index[0] == ofAttempt.Index[0]})
	}
	return all
}
