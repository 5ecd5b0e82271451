package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"recapito/commands/channel"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Route is one route of a channel: what every route has, and the settings of its kind.
type Route struct {
	Name     string    `yaml:"name"`
	Channel  string    `yaml:"channel"` // names the kind
	Policy   Policy    `yaml:"policy"`
	Settings yaml.Node `yaml:"settings"`

	Kind channel.Kind     `yaml:"-"` // of the channel
	Own  channel.Settings `yaml:"-"` // the settings, decoded
}

// Form is how the route's provider writes message ids.
func (r Route) Form() receipt.Form {
	if w, ok := r.Own.(channel.WritesIDs); ok {
		return w.Form()
	}
	return receipt.Text
}

// Policy is how the attempts of a route are watched, retried and settled. What is left
// out has the default.
type Policy struct {
	Tries        int           `yaml:"tries" doc:"attempts for one target, while failures are transient"`
	BackOff      time.Duration `yaml:"back_off" doc:"before the second try; doubled for each further one, up to 10 minutes"`
	WireLimit    time.Duration `yaml:"wire_limit" doc:"after the claim, past which an attempt without an answer is of unknown outcome. Nothing is put on the wire, and no answer is waited for, beyond half of it"`
	Redispatch   time.Duration `yaml:"redispatch" doc:"an attempt that is due and was not taken for so long is put on its queue again: this heals a wiped Kafka"`
	Patience     time.Duration `yaml:"patience" doc:"an attempt that is due and was not taken for so long is withdrawn, which counts as failed"`
	Unknown      string        `yaml:"unknown" doc:"what follows an unknown outcome: wait for a receipt, resend, or hold for a person"`
	UnknownLimit time.Duration `yaml:"unknown_limit" doc:"for how long; then the attempt counts as failed"`
	Resends      int           `yaml:"resends" doc:"at most so many, by policy or by a person"`
	// ReceiptWindow is read by Window.
	ReceiptWindow time.Duration `yaml:"receipt_window" doc:"how long after the provider accepted a message a receipt with its id may be about it: at least as long as the provider's latest receipt, at most 168h. Where no address can be read in the provider's receipts, it must be less than the shortest time after which the provider gives an id again, or a receipt may confirm another message"`
}

// Window returns the receipt window with its default.
func (p Policy) Window() time.Duration {
	if p.ReceiptWindow == 0 {
		return receipt.Window
	}
	return p.ReceiptWindow
}

// Policy returns the policy with its defaults.
func (p Policy) Policy() notification.Policy {
	out := channel.DefaultPolicy()
	if p.Tries > 0 {
		out.Tries = p.Tries
	}
	if p.Resends > 0 {
		out.Resends = p.Resends
	}
	if p.Unknown != "" {
		out.Unknown = notification.UnknownPolicy(p.Unknown)
	}
	for to, d := range map[*notification.Duration]time.Duration{
		&out.BackOff: p.BackOff, &out.WireLimit: p.WireLimit, &out.Redispatch: p.Redispatch, &out.Patience: p.Patience, &out.UnknownLimit: p.UnknownLimit,
	} {
		if d > 0 {
			*to = notification.Duration(d)
		}
	}
	return out
}

func (p Policy) check(at string, problem func(format string, args ...any)) {
	for name, n := range map[string]int{"tries": p.Tries, "resends": p.Resends} {
		if n < 0 {
			problem("%s.%s: must not be negative", at, name)
		}
	}
	for name, d := range map[string]time.Duration{"back_off": p.BackOff, "wire_limit": p.WireLimit, "redispatch": p.Redispatch, "patience": p.Patience, "unknown_limit": p.UnknownLimit} {
		if d < 0 {
			problem("%s.%s: must not be negative", at, name)
		}
	}
	if w := p.Window(); w < time.Minute || w > receipt.Window {
		problem("%s.receipt_window: must be 1m to %s: later, a destination's token has expired", at, receipt.Window)
	}
	switch notification.UnknownPolicy(p.Unknown) {
	case "", notification.UnknownWait, notification.UnknownResend, notification.UnknownHold:
	default:
		problem("%s.unknown: must be wait, resend or hold", at)
	}
}

// DefaultRoute is the route of an instance that configures none.
func DefaultRoute() Route {
	r := Route{Name: "smsc", Channel: "sms"}
	if err := r.Settings.Encode(map[string]string{"addr": SMSCAddr, "system_id": "recapito"}); err != nil {
		panic(err) // a map of texts has a YAML form
	}
	return r
}

// SMSCAddr is where the default route finds its SMSC.
const SMSCAddr = "127.0.0.1:2775"

// checkRoutes reports what is wrong with the routes, and decodes the settings of each as
// its kind wants them.
func (c *Config) checkRoutes(kinds []channel.Kind, problem func(format string, args ...any)) {
	seen := map[string]bool{}
	for i := range c.Routes {
		r := &c.Routes[i]
		at := "routes[" + strconv.Itoa(i) + "]"
		switch {
		case r.Name == "" || strings.ContainsAny(r.Name, "- /"):
			problem("%s.name: is required, without hyphens, blanks or slashes", at)
		case seen[r.Name]:
			problem("%s.name: stands twice", at)
		}
		seen[r.Name] = true
		r.Policy.check(at+".policy", problem)
		kind, ok := kindNamed(kinds, r.Channel)
		if !ok {
			problem("%s.channel: must be one of %s", at, names(kinds))
			continue
		}
		r.Kind, r.Own = kind, kind.Settings()
		if !r.Settings.IsZero() {
			unknown := unknownKeys(&r.Settings, reflect.TypeOf(r.Own))
			for _, key := range unknown {
				problem("%s.settings: line %d: %s is no setting of %s; docs/configuration.md lists all", at, key.Line, key.Value, kind.Name)
			}
			if len(unknown) > 0 {
				continue
			}
			if err := r.Settings.Decode(r.Own); err != nil {
				problem("%s.settings:%s", at, strings.ReplaceAll(mistakes(err), "\n", "\n  "))
				continue
			}
		}
		if err := r.Own.Validate(); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				problem("%s.settings.%s", at, line)
			}
		}
	}
}

func kindNamed(kinds []channel.Kind, name string) (channel.Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return channel.Kind{}, false
}

func names(kinds []channel.Kind) string {
	all := make([]string, len(kinds))
	for i, k := range kinds {
		all[i] = k.Name
	}
	return strings.Join(all, ", ")
}

// unknownKeys returns the keys of a mapping that a struct does not have, at any depth.
func unknownKeys(node *yaml.Node, t reflect.Type) []*yaml.Node {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && node.Kind == yaml.SequenceNode:
		var unknown []*yaml.Node
		for _, element := range node.Content {
			unknown = append(unknown, unknownKeys(element, t.Elem())...)
		}
		return unknown
	case t.Kind() != reflect.Struct || node.Kind != yaml.MappingNode || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()):
		return nil
	}
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		fields[key] = t.Field(i).Type
	}
	var unknown []*yaml.Node
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if field, ok := fields[key.Value]; ok && key.Value != "" && key.Value != "-" {
			unknown = append(unknown, unknownKeys(node.Content[i+1], field)...)
			continue
		}
		unknown = append(unknown, key)
	}
	return unknown
}

// SettingsTable returns the settings of a kind as rows of a Markdown table, from the tags
// of its struct.
func SettingsTable(k channel.Kind) string {
	var b strings.Builder
	b.WriteString("| setting | meaning |\n|---|---|\n")
	settingsRows(&b, "", reflect.TypeOf(k.Settings()))
	return b.String()
}

func settingsRows(b *strings.Builder, prefix string, t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" || key == "-" {
			continue
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			fmt.Fprintf(b, "| `%s%s` | %s |\n", prefix, key, strings.ReplaceAll(doc, "|", "\\|"))
		}
		inner, suffix := f.Type, "."
		if inner.Kind() == reflect.Slice {
			suffix = "[]."
		}
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner.PkgPath() == t.PkgPath() {
			settingsRows(b, prefix+key+suffix, inner)
		}
	}
}
