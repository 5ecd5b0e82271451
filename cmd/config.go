package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"recapito/adapters/clickhouse"
	"recapito/adapters/eventstore"
	"recapito/adapters/postgres"
	"recapito/commands"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Config is recapito.yaml. Every key has a default that works on one machine with
// nothing installed. RECAPITO_<KEY> overrides a key, e.g. RECAPITO_KAFKA_BROKERS
// (a comma between several) or RECAPITO_HTTP_ADDR; docs/configuration.md lists all.
type Config struct {
	Data      string `yaml:"data"`      // the instance's folder
	Scenarios string `yaml:"scenarios"` // folder of scenario files; empty: scenarios in the data folder
	HTTP      struct {
		Addr string `yaml:"addr"`
	} `yaml:"http"`
	Metrics struct {
		Addr string `yaml:"addr"`
	} `yaml:"metrics"`
	EventStore struct {
		URL  string `yaml:"url"`  // empty: the embedded store
		Addr string `yaml:"addr"` // of the embedded store; empty: not served to others
	} `yaml:"eventstore"`
	KeyStore struct {
		URL           string `yaml:"url"`             // empty: the embedded store
		MasterKeyFile string `yaml:"master_key_file"` // empty: keys/master.key in the data folder
	} `yaml:"keystore"`
	Kafka struct {
		Brokers []string `yaml:"brokers"` // empty: the embedded broker
		Addr    string   `yaml:"addr"`    // of the embedded broker
	} `yaml:"kafka"`
	ClickHouse struct {
		URL  string `yaml:"url"`  // empty: the embedded engine
		Addr string `yaml:"addr"` // of the embedded engine
		// Memory bounds the embedded engine's process.
		Memory Size `yaml:"memory"`
		// Readers are the embedded engine's users for BI tools.
		Readers []ReaderConfig `yaml:"readers"`
	} `yaml:"clickhouse"`
	Log struct {
		Level  string `yaml:"level"`  // debug, info, warn, error
		Format string `yaml:"format"` // text, json
	} `yaml:"log"`
	Routes []RouteConfig `yaml:"routes"`
}

// ReaderConfig is a user of the embedded ClickHouse who sees one tenant's rows.
type ReaderConfig struct {
	Name           string `yaml:"name"`
	Tenant         string `yaml:"tenant"`
	PasswordSHA256 string `yaml:"password_sha256"`
}

// users are the readers as the engine knows them.
func (c *Config) users() clickhouse.Users {
	var u clickhouse.Users
	for _, r := range c.ClickHouse.Readers {
		u.Readers = append(u.Readers, clickhouse.Reader(r))
	}
	return u
}

// RouteConfig is one route of a channel. Only smpp is built so far.
type RouteConfig struct {
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

const maxConfigBytes = 1 << 20

func defaultConfig() Config {
	var c Config
	c.Data = "./data"
	c.HTTP.Addr = "127.0.0.1:8080"
	c.Metrics.Addr = "127.0.0.1:9464"
	c.EventStore.Addr = "127.0.0.1:2113"
	c.Kafka.Addr = "127.0.0.1:9092"
	c.ClickHouse.Addr = "127.0.0.1:8123"
	c.ClickHouse.Memory = "2GiB"
	c.Log.Level, c.Log.Format = "info", "text"
	return c
}

func defaultRoute() RouteConfig {
	return RouteConfig{Name: "smsc", Channel: commands.ChannelSMS, Protocol: "smpp", Addr: smscAddr, SystemID: "recapito"}
}

const smscAddr = "127.0.0.1:2775"

// loadConfig reads a file (none if the name is empty) and the environment over the
// defaults. Unknown keys are errors naming the line.
func loadConfig(file string, environ []string) (Config, error) {
	c := defaultConfig()
	if file != "" {
		if err := readConfig(file, &c); err != nil {
			return c, err
		}
	}
	if err := overrideByEnv(&c, environ); err != nil {
		return c, err
	}
	if len(c.Routes) == 0 {
		c.Routes = []RouteConfig{defaultRoute()}
	}
	return c, c.validate()
}

func readConfig(file string, c *Config) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if len(raw) > maxConfigBytes {
		return fmt.Errorf("%s: the file has more than %d bytes, which is the limit", file, maxConfigBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("configuration %s:%s", file, mistakes(err))
	}
	return nil
}

var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type `)
	wrongKind  = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into (.+)$`)
	kinds      = map[string]string{
		"[]string": "a list of texts", "string": "a text", "receipt.Form": "a text", "int": "a whole number",
		"time.Duration": "a duration such as 30s or 1h", "[]cmd.RouteConfig": "a list of routes", "[]cmd.ReaderConfig": "a list of readers",
	}
)

// mistakes are the YAML reader's complaints in words for who wrote the file: line and
// rule, without Go's types and without the value, which may be a password.
func mistakes(err error) string {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return " " + strings.TrimPrefix(err.Error(), "yaml: ")
	}
	var b strings.Builder
	for _, said := range wrong.Errors {
		if m := unknownKey.FindStringSubmatch(said); m != nil {
			said = fmt.Sprintf("line %s: %s is no key here; docs/configuration.md lists all", m[1], m[2])
		} else if m := wrongKind.FindStringSubmatch(said); m != nil {
			kind, ok := kinds[m[2]]
			if !ok {
				kind = "keys and values"
			}
			said = fmt.Sprintf("line %s: must be %s", m[1], kind)
		}
		b.WriteString("\n  " + said)
	}
	return b.String()
}

// overrideByEnv sets the keys that hold a text, or a list of texts.
func overrideByEnv(c *Config, environ []string) error {
	set := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "RECAPITO_") {
			set[name] = value
		}
	}
	return override(reflect.ValueOf(c).Elem(), "RECAPITO", set)
}

func override(v reflect.Value, prefix string, set map[string]string) error {
	for i := range v.NumField() {
		field := v.Field(i)
		name := prefix + "_" + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if field.Kind() == reflect.Struct {
			if err := override(field, name, set); err != nil {
				return err
			}
			continue
		}
		value, ok := set[name]
		if !ok {
			continue
		}
		switch {
		case field.Kind() == reflect.String:
			field.SetString(value)
		case field.Type() == reflect.TypeFor[[]string]():
			field.Set(reflect.ValueOf(strings.Split(value, ",")))
		default:
			return fmt.Errorf("%s cannot be set in the environment, only in the file", name)
		}
	}
	return nil
}

func (c *Config) validate() error {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.Data == "" {
		problem("data: must name a folder")
	}
	for key, addr := range map[string]string{
		"http.addr": c.HTTP.Addr, "metrics.addr": c.Metrics.Addr, "kafka.addr": c.Kafka.Addr, "clickhouse.addr": c.ClickHouse.Addr,
	} {
		if !isAddress(addr) {
			problem("%s: must be host:port, such as 127.0.0.1:8080", key)
		}
	}
	if n, err := c.ClickHouse.Memory.bytes(); err != nil || n < clickhouse.MinMemory {
		problem("clickhouse.memory: must be at least 256MiB, written as 512MiB or 2GiB")
	}
	if err := c.users().Check(); err != nil {
		problem("clickhouse.readers: %v", err)
	}
	for i, r := range c.ClickHouse.Readers {
		if r.PasswordSHA256 == "" {
			problem("clickhouse.readers: reader %d: password_sha256 is missing", i+1)
		}
	}
	if c.EventStore.Addr != "" && !isAddress(c.EventStore.Addr) {
		problem("eventstore.addr: must be host:port, such as 127.0.0.1:2113, or empty")
	}
	if c.EventStore.URL != "" {
		if err := eventstore.CheckURL(c.EventStore.URL); err != nil {
			problem("eventstore.url: must be a connection string, such as esdb://127.0.0.1:2113?tls=false")
		}
	}
	if c.KeyStore.URL != "" {
		if err := postgres.CheckURL(c.KeyStore.URL); err != nil {
			problem("%v", err)
		}
	}
	if new(slog.LevelVar).UnmarshalText([]byte(c.Log.Level)) != nil {
		problem("log.level: must be debug, info, warn or error")
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		problem("log.format: must be text or json")
	}
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
			r.Channel = commands.ChannelSMS
		}
		if r.Protocol == "" {
			r.Protocol = "smpp"
		}
		if r.Channel != commands.ChannelSMS || r.Protocol != "smpp" {
			problem("%s: only channel sms over protocol smpp is built", at)
		}
		if !isAddress(r.Addr) {
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
	if len(problems) == 0 {
		return nil
	}
	slices.Sort(problems)
	return errors.New("configuration:\n  " + strings.Join(problems, "\n  "))
}

// isAddress says whether a text is host:port with a port that there can be.
func isAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// policy is the route's policy, the defaults where it is silent.
func (r RouteConfig) policy() notification.Policy {
	p := commands.DefaultPolicy()
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

// zeroPorts makes every port that was not set free to choose, as --http …:0 does.
func (c *Config) zeroPorts() {
	d := defaultConfig()
	for addr, standard := range map[*string]string{&c.Metrics.Addr: d.Metrics.Addr, &c.EventStore.Addr: d.EventStore.Addr, &c.Kafka.Addr: d.Kafka.Addr, &c.ClickHouse.Addr: d.ClickHouse.Addr} {
		if *addr == standard {
			*addr = "127.0.0.1:0"
		}
	}
}

// freePort says whether an address asks for any free port.
func freePort(addr string) bool { return strings.HasSuffix(addr, ":0") }
