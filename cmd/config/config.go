// Package config is recapito.yaml: its keys, their defaults, how the file and the
// environment are read over them, and what is refused. Errors name the line or the key and
// the rule, never the value.
package config

import (
	"errors"
	"io"
	"log/slog"
	"strings"

	"recapito/adapters/clickhouse"
	"recapito/commands/channel"
)

// Config is recapito.yaml. Every key has a default that works on one machine with
// nothing installed. RECAPITO_<KEY> overrides a key, e.g. RECAPITO_KAFKA_BROKERS
// (a comma between several) or RECAPITO_HTTP_ADDR; docs/configuration.md lists all.
type Config struct {
	Data      string `yaml:"data"`      // the instance's folder
	Scenarios string `yaml:"scenarios"` // folder of scenario files; empty: scenarios in the data folder
	Operators string `yaml:"operators"` // file of phone prefixes and their operators; empty: none is known
	HTTP      struct {
		Addr string `yaml:"addr"`
	} `yaml:"http"`
	Metrics struct {
		Addr string `yaml:"addr"`
	} `yaml:"metrics"`
	EventStore struct {
		URL  string `yaml:"url"`  // empty: the embedded store
		Addr string `yaml:"addr"` // of the embedded store; empty: not served to others
		// Password is that of the user admin of the embedded store; empty: made at each start.
		Password string `yaml:"password"`
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
		Readers []Reader `yaml:"readers"`
	} `yaml:"clickhouse"`
	Log struct {
		Level  string `yaml:"level"`  // debug, info, warn, error
		Format string `yaml:"format"` // text, json
	} `yaml:"log"`
	Routes []Route `yaml:"routes"`
}

// Reader is a user of the embedded ClickHouse who sees one tenant's rows.
type Reader struct {
	Name           string `yaml:"name"`
	Tenant         string `yaml:"tenant"`
	PasswordSHA256 string `yaml:"password_sha256"`
}

// Users are the readers as the engine knows them.
func (c *Config) Users() clickhouse.Users {
	var u clickhouse.Users
	for _, r := range c.ClickHouse.Readers {
		u.Readers = append(u.Readers, clickhouse.Reader(r))
	}
	return u
}

const maxConfigBytes = 1 << 20

// Default is the configuration of an instance without a file.
func Default() Config {
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

// Load reads a file (none if the name is empty) and the environment over the defaults;
// kinds are the kinds of channel that a route may name. Unknown keys are errors naming
// the line.
func Load(file string, environ []string, kinds []channel.Kind) (Config, error) {
	c := Default()
	if file != "" {
		if err := readConfig(file, &c); err != nil {
			return c, err
		}
	}
	if err := overrideByEnv(&c, environ); err != nil {
		return c, err
	}
	if len(c.Routes) == 0 {
		c.Routes = []Route{DefaultRoute()}
	}
	return c, c.validate(kinds)
}

// ZeroPorts makes every port that was not set free to choose, as --http …:0 does.
func (c *Config) ZeroPorts() {
	d := Default()
	for addr, standard := range map[*string]string{&c.Metrics.Addr: d.Metrics.Addr, &c.EventStore.Addr: d.EventStore.Addr, &c.Kafka.Addr: d.Kafka.Addr, &c.ClickHouse.Addr: d.ClickHouse.Addr} {
		if *addr == standard {
			*addr = "127.0.0.1:0"
		}
	}
}

// FreePort reports whether an address asks for any free port.
func FreePort(addr string) bool { return strings.HasSuffix(addr, ":0") }

// Logger makes the logger that is configured.
func (c Config) Logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		return nil, errors.New("log.level: must be debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: withUnit}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	return slog.New(slog.NewTextHandler(out, options)), nil
}

// withUnit writes durations as 1.5s in JSON too, where slog writes a number of nanoseconds.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// ChildLogger makes the logger of a verb that an instance runs as its child:
// RECAPITO_LOG_LEVEL and RECAPITO_LOG_FORMAT set its level and form.
func ChildLogger(environ []string, out io.Writer) (*slog.Logger, error) {
	c := Default()
	if err := overrideByEnv(&c, environ); err != nil {
		return nil, err
	}
	return c.Logger(out)
}
