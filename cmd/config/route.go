package config

import (
	"strconv"
	"strings"
	"time"

	"recapito/commands/channel"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Route is one route of a channel. Only smpp is built so far.
type Route struct {
	Name     string       `yaml:"name"`
	Channel  string       `yaml:"channel"`
	Protocol string       `yaml:"protocol"`
	Addr     string       `yaml:"addr"`
	SystemID string       `yaml:"system_id"`
	Password string       `yaml:"password"`
	Binds    int          `yaml:"binds"`
	Window   int          `yaml:"window"`
	IDForm   receipt.Form `yaml:"id_form"` // text, hex, decimal, either
	// EchoesReference: the provider returns our vendor parameters with its receipts.
	EchoesReference bool          `yaml:"echoes_reference"`
	Tries           int           `yaml:"tries"`
	BackOff         time.Duration `yaml:"back_off"`
	WireLimit       time.Duration `yaml:"wire_limit"`
	Redispatch      time.Duration `yaml:"redispatch"`
	Patience        time.Duration `yaml:"patience"`
	Unknown         string        `yaml:"unknown"` // wait, resend, hold
	UnknownLimit    time.Duration `yaml:"unknown_limit"`
	Resends         int           `yaml:"resends"`
}

// DefaultRoute is the route of an instance that configures none.
func DefaultRoute() Route {
	return Route{Name: "smsc", Channel: "sms", Protocol: "smpp", Addr: SMSCAddr, SystemID: "recapito"}
}

// SMSCAddr is where the default route finds its SMSC.
const SMSCAddr = "127.0.0.1:2775"

// checkRoutes reports what is wrong with the routes and fills in their defaults.
func (c *Config) checkRoutes(problem func(format string, args ...any)) {
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
		if r.Channel == "" {
			r.Channel = "sms"
		}
		if r.Protocol == "" {
			r.Protocol = "smpp"
		}
		if r.Channel != "sms" || r.Protocol != "smpp" {
			problem("%s: only channel sms over protocol smpp is built", at)
		}
		if !IsAddress(r.Addr) {
			problem("%s.addr: is required, host:port", at)
		}
		for name, n := range map[string]int{"binds": r.Binds, "window": r.Window, "tries": r.Tries, "resends": r.Resends} {
			if n < 0 {
				problem("%s.%s: must not be negative", at, name)
			}
		}
		switch r.IDForm {
		case "":
			r.IDForm = receipt.Text
		case receipt.Text, receipt.Hex, receipt.Decimal, receipt.Either:
		default:
			problem("%s.id_form: must be text, hex, decimal or either", at)
		}
		switch notification.UnknownPolicy(r.Unknown) {
		case "", notification.UnknownWait, notification.UnknownResend, notification.UnknownHold:
		default:
			problem("%s.unknown: must be wait, resend or hold", at)
		}
		for name, d := range map[string]time.Duration{"back_off": r.BackOff, "wire_limit": r.WireLimit, "redispatch": r.Redispatch, "patience": r.Patience, "unknown_limit": r.UnknownLimit} {
			if d < 0 {
				problem("%s.%s: must not be negative", at, name)
			}
		}
	}
}

// Policy is the route's policy, the defaults where it is silent.
func (r Route) Policy() notification.Policy {
	p := channel.DefaultPolicy()
	if r.Tries > 0 {
		p.Tries = r.Tries
	}
	if r.Resends > 0 {
		p.Resends = r.Resends
	}
	if r.Unknown != "" {
		p.Unknown = notification.UnknownPolicy(r.Unknown)
	}
	for to, d := range map[*notification.Duration]time.Duration{
		&p.BackOff: r.BackOff, &p.WireLimit: r.WireLimit, &p.Redispatch: r.Redispatch, &p.Patience: r.Patience, &p.UnknownLimit: r.UnknownLimit,
	} {
		if d > 0 {
			*to = notification.Duration(d)
		}
	}
	return p
}
