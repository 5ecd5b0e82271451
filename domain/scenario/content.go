package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/template"
)

// Limits of the templates of a scenario.
const (
	MaxTemplateBytes = 256 << 10 // of one member
	MaxRenderedBytes = 1 << 20   // of one member
	// MaxDefinitionAttachments bounds the attachments of one channel's content, before
	// the content's own limit.
	MaxDefinitionAttachments = 10
	// MaxDefinitionAttachmentsBytes keeps them, in base64 twice (in their document, and sealed),
	// within an event of 1 MiB.
	MaxDefinitionAttachmentsBytes = 512 << 10
)

// Channel is what a definition is checked against for one channel.
type Channel struct {
	Content content.Kind
	// Sender checks a sender; nil: the channel has none.
	Sender func(sender string) error
	// Check checks a document as the channel's route does; nil: nothing is checked.
	Check func(content.Document) error
	// Routed is whether a route of the channel is configured.
	Routed bool
	// NeedsSender: a message must have a sender, and the route has none of its own.
	NeedsSender bool
	// Reports is the highest status that the channel reports; None: any.
	Reports notification.Status
}

// Channels are the channels that there are, by name.
type Channels map[string]Channel

// Content is what a definition's messages hold on one channel: a template a member.
type Content struct {
	Members     map[string]string
	Attachments []Attachment

	members     map[string]*template.Template // nil until Compile
	attachments []*template.Template
	kind        content.Kind
}

// Attachment is a file that goes with every message: Data as it stands, or Text, a
// template of plain text.
type Attachment struct {
	Name      string
	MediaType string
	Text      string
	Data      []byte
}

// unreported warns of a step whose wanted status none of its channels reports: it would
// always fail over.
func unreported(i int, s Step, channels Channels) Problems {
	if len(s.Channels) == 0 || s.Wanted.Rank() == 0 {
		return nil
	}
	for _, name := range s.Channels {
		if c := channels[name]; c.Reports == notification.None || c.Reports.Rank() >= s.Wanted.Rank() {
			return nil
		}
	}
	return Problems{{Path: fmt.Sprintf("steps[%d].wanted", i), Rule: fmt.Sprintf("%s is not reported by %s: the step always goes on to the next when its wait is over; `wanted: %s` is what it reports",
		s.Wanted, strings.Join(s.Channels, ", "), channels[s.Channels[0]].Reports)}}
}

// compileContents checks the content of every channel, and what the steps need of it.
// Its warnings are what does not stop the definition from being used.
func (d *Definition) compileContents(channels Channels) (problems Problems, warnings Problems) {
	used := map[string]bool{}
	routed := 0
	for i, s := range d.Steps {
		warnings = append(warnings, unreported(i, s, channels)...)
		for j, name := range s.Channels {
			if used[name] {
				continue
			}
			used[name] = true
			at := fmt.Sprintf("steps[%d].channels[%d]", i, j)
			c, known := channels[name]
			switch _, has := d.Contents[name]; {
			case !known:
				problems = append(problems, Problem{Path: at, Rule: fmt.Sprintf("there is no channel %q; there are %s", name, listed(channels))})
			case !has:
				problems = append(problems, Problem{Path: "content", Rule: fmt.Sprintf("must have %s, which a step names", name)})
			case !c.Routed:
				warnings = append(warnings, Problem{Path: at, Rule: fmt.Sprintf("the channel %s has no route; attempts skip it", name)})
			default:
				routed++
				if c.NeedsSender && d.Senders[name] == "" {
					problems = append(problems, Problem{Path: "senders", Rule: fmt.Sprintf("must have %s: its route has no sender of its own", name)})
				}
			}
		}
	}
	if len(used) > 0 && routed == 0 && len(problems) == 0 {
		problems, warnings = append(problems, Problem{Path: "steps", Rule: "name no channel that has a route"}), nil
	}
	compiled := make(map[string]Content, len(d.Contents))
	for _, name := range slices.Sorted(maps.Keys(d.Contents)) {
		c, known := channels[name]
		if !known {
			problems = append(problems, Problem{Path: "content." + name, Rule: "there is no such channel; there are " + listed(channels)})
			continue
		}
		if !used[name] {
			warnings = append(warnings, Problem{Path: "content." + name, Rule: "no step names this channel"})
		}
		in := d.Contents[name]
		wrong, doubtful := in.compile("content."+name, c, d.Fields)
		problems, warnings = append(problems, wrong...), append(warnings, doubtful...)
		compiled[name] = in
	}
	for _, name := range slices.Sorted(maps.Keys(d.Senders)) {
		c, known := channels[name]
		path := "senders." + name
		switch {
		case !known:
			problems = append(problems, Problem{Path: path, Rule: "there is no such channel; there are " + listed(channels)})
		case c.Sender == nil:
			problems = append(problems, Problem{Path: path, Rule: "the channel has no senders"})
		default:
			if err := c.Sender(d.Senders[name]); err != nil {
				problems = append(problems, Problem{Path: path, Rule: err.Error()})
			}
		}
	}
	d.Contents = compiled
	return problems, warnings
}

func listed(channels Channels) string {
	return strings.Join(slices.Sorted(maps.Keys(channels)), ", ")
}

// compile checks every member and compiles its template. Then it has the channel check the
// content that sample values make, now rather than with each message. What a template with
// conditions makes of them is a warning: they may meet none.
func (c *Content) compile(path string, channel Channel, fields []Field) (problems, warnings Problems) {
	report := func(at string, line int, rule string) {
		problems = append(problems, Problem{Path: at, Line: line, Rule: rule})
	}
	kind := channel.Content
	c.kind, c.members = kind, map[string]*template.Template{}
	names := make(map[string]bool, len(fields))
	for _, f := range fields {
		names[f.Name] = true
	}
	constants := map[string]string{}
	for _, m := range kind.Members {
		if m.Constant {
			constants[m.Name] = c.Members[m.Name]
		}
	}
	trial, samples := map[string]string{}, sampleValues(fields)
	plain := map[string]string{} // members that have an Example, with sample values
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		m, ok := kind.Member(name)
		at := path + "." + name
		if !ok {
			report(at, 0, fmt.Sprintf("%s has no such member; it has %s", kind.Name, kind.MemberNames()))
			continue
		}
		text := c.Members[name]
		trial[name] = strings.TrimSpace(text)
		if m.Constant {
			continue
		}
		t, wrong := template.Compile(text, template.Options{
			Names: names, Noun: "field", Format: kind.Format(m, constants),
			MaxBytes: MaxTemplateBytes, MaxRendered: MaxRenderedBytes,
		})
		for _, p := range wrong {
			report(at, p.Line, p.Rule)
		}
		c.members[name] = t
		if t == nil || !templated(text) {
			continue
		}
		rendered, err := t.Render(samples)
		if m.Example != "" && err == nil {
			plain[name] = cmp.Or(strings.TrimSpace(rendered), placeholder)
			rendered, err = t.Render(examples(fields, m.Example))
		}
		if err != nil {
			report(at, 0, "with sample values: "+notRendered(name, err).Rule)
		}
		trial[name] = cmp.Or(strings.TrimSpace(rendered), m.Example, placeholder)
	}
	for _, m := range kind.Members {
		if m.Required && strings.TrimSpace(c.Members[m.Name]) == "" {
			report(path+"."+m.Name, 0, "is required and must not be empty")
		}
	}
	problems = append(problems, c.compileAttachments(path, names)...)
	if len(problems) > 0 {
		return problems, nil
	}
	var attachments []content.Attachment
	for _, a := range c.Attachments {
		if a.Text != "" {
			a.Data = []byte(placeholder)
		}
		attachments = append(attachments, content.Attachment{Name: a.Name, MediaType: a.MediaType, Data: a.Data})
	}
	check := func() error {
		document, err := kind.New(trial, attachments)
		if err == nil && channel.Check != nil {
			err = channel.Check(document)
		}
		return err
	}
	others := maps.Clone(plain)
	for other := breaks(check(), others); other != ""; other = breaks(check(), others) {
		trial[other] = others[other] // a field of it is a text after all, such as a name
		delete(others, other)
	}
	for _, e := range unjoined(check()) {
		var member *content.MemberError
		if !errors.As(e, &member) {
			report(path, 0, e.Error())
			continue
		}
		at, text := path+"."+member.Member, c.Members[member.Member]
		switch {
		case strings.Contains(text, "{%"), plain[member.Member] != "" && strings.Count(text, "{{") > 1:
			warnings = append(warnings, Problem{Path: at, Rule: "with sample values: " + member.Rule})
		case strings.Contains(text, "{{"):
			report(at, 0, "with sample values: "+member.Rule)
		default:
			report(at, 0, member.Rule)
		}
	}
	return problems, warnings
}

// placeholder stands for what the template of an attachment will render, and for a member
// that sample values leave empty.
const placeholder = "1"

// templated reports whether a text is a template.
func templated(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%")
}

// breaks returns a member that breaks a rule and has another trial.
func breaks(err error, others map[string]string) string {
	for _, e := range unjoined(err) {
		var member *content.MemberError
		if errors.As(e, &member) && others[member.Member] != "" {
			return member.Member
		}
	}
	return ""
}

// examples are the values of a member where not any text is valid: each may be all of it, or
// its end.
func examples(fields []Field, example string) map[string]any {
	values := sampleValues(fields)
	for _, f := range fields {
		if f.Type == Text {
			values[f.Name] = example
		}
	}
	return values
}

// sampleValues are values that a request may have: with them a content must be valid.
func sampleValues(fields []Field) map[string]any {
	values := make(map[string]any, len(fields))
	for _, f := range fields {
		sample := "1" // a text, a line and JSON
		switch f.Type {
		case Boolean:
			sample = "true"
		case Date:
			sample = "2026-01-31"
		case Text, Number:
		}
		values[f.Name] = binding(f.Type, sample)
	}
	return values
}

func (c *Content) compileAttachments(path string, names map[string]bool) Problems {
	var problems Problems
	if len(c.Attachments) > MaxDefinitionAttachments {
		return append(problems, Problem{Path: path + ".attachments", Rule: fmt.Sprintf("has more than %d attachments", MaxDefinitionAttachments)})
	}
	total := 0
	for _, a := range c.Attachments {
		total += max(len(a.Data), len(a.Text))
	}
	if total > MaxDefinitionAttachmentsBytes {
		problems = append(problems, Problem{Path: path + ".attachments", Rule: fmt.Sprintf("have %d bytes together; at most %d are allowed, so that a message fits an event", total, MaxDefinitionAttachmentsBytes)})
	}
	c.attachments = make([]*template.Template, len(c.Attachments))
	for i, a := range c.Attachments {
		at := path + ".attachments[" + strconv.Itoa(i) + "]"
		if a.Name == "" || a.MediaType == "" {
			problems = append(problems, Problem{Path: at, Rule: "must have name and media_type"})
		}
		switch {
		case a.Text != "" && len(a.Data) > 0:
			problems = append(problems, Problem{Path: at, Rule: "give text or file, not both"})
		case a.Text != "":
			t, wrong := template.Compile(a.Text, template.Options{Names: names, Noun: "field", Format: content.FormatOf(a.MediaType), MaxBytes: MaxTemplateBytes, MaxRendered: MaxRenderedBytes})
			for _, p := range wrong {
				problems = append(problems, Problem{Path: at + ".text", Line: p.Line, Rule: p.Rule})
			}
			c.attachments[i] = t
		case len(a.Data) == 0:
			problems = append(problems, Problem{Path: at, Rule: "must have text or file"})
		}
	}
	return problems
}

func unjoined(err error) []error {
	if several, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the join itself is meant
		return several.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Errors of Render. They never hold what was to be rendered.
var (
	ErrMissing = errors.New("a required field is missing")
	ErrRender  = errors.New("the content cannot be rendered with these fields")
)

// HasContent reports whether the definition has content for a channel.
func (d Definition) HasContent(channel string) bool {
	_, ok := d.Contents[channel]
	return ok
}

// Render returns a channel's document with the fields' canonical values. An optional
// field that is absent or empty renders as nothing and counts as false. White space
// around a member is trimmed. The error wraps ErrMissing, ErrRender or a rule of the
// content, and holds no value. Safe for concurrent use.
func (d Definition) Render(channel string, fields map[string]string) (content.Document, error) {
	c, ok := d.Contents[channel]
	if !ok || c.members == nil {
		return content.Document{}, fmt.Errorf("scenario %s, channel %s: %w", d.Name, channel, ErrNotCompiled)
	}
	bindings := make(map[string]any, len(d.Fields))
	for _, f := range d.Fields {
		value, given := fields[f.Name]
		if !given || value == "" {
			if f.Required {
				return content.Document{}, fmt.Errorf("scenario %s, field %s: %w", d.Name, f.Name, ErrMissing)
			}
			bindings[f.Name] = nil
			continue
		}
		bindings[f.Name] = binding(f.Type, value)
	}
	document, err := c.render(bindings)
	if err != nil {
		return content.Document{}, fmt.Errorf("scenario %s, content of %s: %w", d.Name, channel, err)
	}
	return document, nil
}

func (c *Content) render(bindings map[string]any) (content.Document, error) {
	members := make(map[string]string, len(c.Members))
	for name, text := range c.Members {
		t := c.members[name]
		if t == nil { // a constant
			members[name] = text
			continue
		}
		rendered, err := t.Render(bindings)
		if err != nil {
			return content.Document{}, fmt.Errorf("%w: %w", ErrRender, notRendered(name, err))
		}
		members[name] = strings.TrimSpace(rendered)
	}
	var attachments []content.Attachment
	for i, a := range c.Attachments {
		data := a.Data
		if t := c.attachments[i]; t != nil {
			text, err := t.Render(bindings)
			if err != nil {
				return content.Document{}, fmt.Errorf("%w: %w", ErrRender, notRendered(fmt.Sprintf("attachments[%d]", i), err))
			}
			data = []byte(text)
		}
		attachments = append(attachments, content.Attachment{Name: a.Name, MediaType: a.MediaType, Data: data})
	}
	return c.kind.New(members, attachments)
}

// notRendered is the rule of a member that broke when it was rendered.
func notRendered(member string, err error) *content.MemberError {
	var failed *template.RenderError
	if errors.As(err, &failed) {
		return &content.MemberError{Member: member, Rule: "cannot be rendered: " + failed.Rule}
	}
	return &content.MemberError{Member: member, Rule: "cannot be rendered"}
}

// binding is the value that a template compares: numbers as numbers where no digit
// is lost by it. What is printed is always the canonical text.
func binding(t Type, value string) any {
	switch t {
	case Boolean:
		return value == "true"
	case Number:
		if n, err := strconv.Atoi(value); err == nil {
			return n
		}
		if x, err := strconv.ParseFloat(value, 64); err == nil && strconv.FormatFloat(x, 'f', -1, 64) == value {
			return x
		}
	case Text, Date:
	}
	return value
}
