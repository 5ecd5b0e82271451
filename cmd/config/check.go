package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"

	"recapito/commands/channel/netguard"

	"recapito/adapters/clickhouse"
	"recapito/adapters/eventstore"
	"recapito/adapters/postgres"
	"recapito/commands/channel"
)

// validate reports everything that is wrong, and fills in what is left out.
func (c *Config) validate(kinds []channel.Kind) error {
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if c.Data == "" {
		problem("data: must name a folder")
	}
	for key, addr := range map[string]string{
		"http.addr": c.HTTP.Addr, "metrics.addr": c.Metrics.Addr, "kafka.addr": c.Kafka.Addr, "clickhouse.addr": c.ClickHouse.Addr,
	} {
		if !IsAddress(addr) {
			problem("%s: must be host:port, such as 127.0.0.1:8080", key)
		}
	}
	if len(c.Kafka.Brokers) == 0 && IsAddress(c.Kafka.Addr) && !netguard.IsLoopback(c.Kafka.Addr) {
		problem("kafka.addr: must be an address of this machine alone, such as 127.0.0.1:9092: the embedded broker asks nobody for a password; kafka.brokers names a Kafka for a network")
	}
	if n, err := c.ClickHouse.Memory.Bytes(); err != nil || n < clickhouse.MinMemory {
		problem("clickhouse.memory: must be at least 256MiB, written as 512MiB or 2GiB")
	}
	if err := c.Users().Check(); err != nil {
		problem("clickhouse.readers: %v", err)
	}
	for i, r := range c.ClickHouse.Readers {
		if r.PasswordSHA256 == "" {
			problem("clickhouse.readers: reader %d: password_sha256 is missing", i+1)
		}
	}
	if c.EventStore.Addr != "" && !IsAddress(c.EventStore.Addr) {
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
	c.checkRoutes(kinds, problem)
	if len(problems) == 0 {
		return nil
	}
	slices.Sort(problems)
	return errors.New("configuration:\n  " + strings.Join(problems, "\n  "))
}

// IsAddress reports whether a text is host:port with a port that can exist.
func IsAddress(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}
