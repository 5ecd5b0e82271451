// Package scenario defines a kind of notification: which fields a request may
// carry, over which steps it is tried, and the text it becomes.
//
// A Definition is a value: Compile checks all of it and reports every problem at
// once; CheckFields checks a request's fields against it and never repeats a value;
// Render makes a channel's document. The package is pure: no clock, no I/O, no randomness (the
// template language is cut down so that a text has none of these either, see
// template.go).
package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"recapito/domain/notification"
	"recapito/domain/template"
)

// Limits of a definition. Where definitions come from a file, its size is bounded too.
const (
	MaxFields          = 64
	MaxNameLength      = 64
	MaxDescriptionSize = 1_000
	MaxWait            = notification.Duration(30 * 24 * time.Hour)
)

// What a definition that does not say otherwise means.
const (
	DefaultTenant = "default"
	DefaultWanted = notification.Delivered
	DefaultWait   = notification.Duration(time.Hour)
)

// Type of a field.
type Type string

// The types of fields and their canonical text.
const (
	Text    Type = "text"    // as it came
	Number  Type = "number"  // decimal, no exponent, no needless zeros: -12.5
	Date    Type = "date"    // a calendar date: 2026-12-01
	Boolean Type = "boolean" // true or false
)

// Field is one custom field of a scenario.
type Field struct {
	Name        string
	Type        Type
	Required    bool
	Personal    bool // sealed wherever it is stored; true unless the definition has personal: false
	Description string
}

// Step is tried on all its channels side by side, until one attempt reaches the
// wanted status or the wait is over.
type Step struct {
	Channels []string
	Wanted   notification.Status
	Wait     notification.Duration
}

// Definition is one version of a scenario.
type Definition struct {
	Name        string
	Tenant      string
	Version     string
	Description string
	Brand       string // whose voice it speaks with, for reports; "" if not given
	Segment     string // what part of the business it serves, for reports; "" if not given
	Fields      []Field
	Steps       []Step
	// Senders has a sender for each channel; a channel without one leaves it to the route.
	Senders map[string]string
	// Contents has what the messages hold, for each channel that a step names.
	Contents map[string]Content
	// Warnings are what Compile noticed that does not stop the definition.
	Warnings Problems
}

// Problem is one broken rule of a definition.
type Problem struct {
	Path string // e.g. "steps[0].wanted", "fields[2].name", "content.sms.text"
	Line int    // within a template, from 1; 0 elsewhere
	Rule string
}

func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s line %d: %s", p.Path, p.Line, p.Rule)
	}
	return p.Path + ": " + p.Rule
}

// Problems is the error of a definition that breaks rules.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "; ")
}

var (
	validName      = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	validTenant    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
	validLabel     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	validFieldName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// ValidLabel reports whether a text can stand where things are counted by it: a brand, a
// segment, a campaign.
func ValidLabel(s string) bool { return validLabel.MatchString(s) && len(s) <= MaxNameLength }

// ErrNotCompiled is returned by Render of a definition that Compile has not seen.
var ErrNotCompiled = errors.New("the scenario was not compiled")

// Compile checks the complete definition and returns it ready to render, or Problems
// with everything that is wrong.
func (d Definition) Compile(channels Channels) (Definition, error) {
	var problems Problems
	report := func(path, rule string, args ...any) {
		problems = append(problems, Problem{Path: path, Rule: fmt.Sprintf(rule, args...)})
	}
	if !validName.MatchString(d.Name) || len(d.Name) > MaxNameLength {
		report("name", "must be lower-case letters, digits, - and _, begin with a letter, and have at most %d characters", MaxNameLength)
	}
	if !validTenant.MatchString(d.Tenant) || len(d.Tenant) > MaxNameLength {
		report("tenant", "must be letters, digits, - and _, and have at most %d characters", MaxNameLength)
	}
	if len(d.Description) > MaxDescriptionSize {
		report("description", "is longer than %d bytes", MaxDescriptionSize)
	}
	for _, label := range []struct{ path, value string }{{"brand", d.Brand}, {"segment", d.Segment}} {
		if label.value != "" && !ValidLabel(label.value) {
			report(label.path, "must be letters, digits and any of . _ -, begin with a letter or a digit, and have at most %d characters", MaxNameLength)
		}
	}
	d.checkFieldDefinitions(report)
	d.checkSteps(report)
	wrong, warnings := d.compileContents(channels)
	if problems = append(problems, wrong...); len(problems) > 0 {
		return Definition{}, problems
	}
	d.Warnings = warnings
	return d, nil
}

func (d Definition) checkFieldDefinitions(report func(path, rule string, args ...any)) {
	if len(d.Fields) > MaxFields {
		report("fields", "has more than %d fields", MaxFields)
	}
	seen := map[string]bool{}
	for i, f := range d.Fields {
		path := fmt.Sprintf("fields[%d]", i)
		switch {
		case !validFieldName.MatchString(f.Name) || len(f.Name) > MaxNameLength:
			report(path+".name", "must be lower-case letters, digits and _, begin with a letter, and have at most %d characters", MaxNameLength)
		case template.Reserved(f.Name):
			report(path+".name", "%q is a word of the template language", f.Name)
		case seen[f.Name]:
			report(path+".name", "%q is defined twice", f.Name)
		}
		seen[f.Name] = true
		if f.Type != Text && f.Type != Number && f.Type != Date && f.Type != Boolean {
			report(path+".type", "must be text, number, date or boolean")
		}
		if len(f.Description) > MaxDescriptionSize {
			report(path+".description", "is longer than %d bytes", MaxDescriptionSize)
		}
	}
}

func (d Definition) checkSteps(report func(path, rule string, args ...any)) {
	if len(d.Steps) == 0 {
		report("steps", "must have at least one step")
	}
	if len(d.Steps) > notification.MaxSteps {
		report("steps", "has more than %d steps", notification.MaxSteps)
	}
	for i, s := range d.Steps {
		path := fmt.Sprintf("steps[%d]", i)
		if len(s.Channels) == 0 {
			report(path+".channels", "must name at least one channel")
		}
		if len(s.Channels) > notification.MaxTargetsPerStep {
			report(path+".channels", "names more than %d channels", notification.MaxTargetsPerStep)
		}
		seen := map[string]bool{}
		for j, channel := range s.Channels {
			at := fmt.Sprintf("%s.channels[%d]", path, j)
			switch {
			case !validName.MatchString(channel) || len(channel) > MaxNameLength:
				report(at, "must be a channel's name, such as sms")
			case seen[channel]:
				report(at, "%q is named twice in one step", channel)
			}
			seen[channel] = true
		}
		if s.Wanted != notification.Sent && s.Wanted != notification.Delivered && s.Wanted != notification.Read {
			report(path+".wanted", "must be sent, delivered or read")
		}
		if s.Wait <= 0 || s.Wait > MaxWait {
			report(path+".wait", "must be more than 0 and at most %dh", int(time.Duration(MaxWait).Hours()))
		}
	}
}

// Field returns the definition of a field.
func (d Definition) Field(name string) (Field, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}
