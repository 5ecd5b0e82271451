package clickhouse

import (
	"errors"
	"fmt"
	"net"

	"recapito/commands/channel/netguard"
)

var errNotLoopback = errors.New("the embedded ClickHouse speaks plain HTTP, so it only listens on a loopback address")

// checkLoopback accepts host:port on this machine only.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address of ClickHouse's HTTP interface: %w", err)
	}
	return checkLoopbackHost(host)
}

func checkLoopbackHost(host string) error {
	if netguard.IsLoopbackHost(host) {
		return nil
	}
	return errNotLoopback
}

// first returns the first value that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
