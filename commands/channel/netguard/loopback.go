package netguard

import (
	"net"
	"strings"
)

// IsLoopback reports whether host:port can be reached from this machine alone.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && IsLoopbackHost(host)
}

// IsLoopbackHost reports the same of a host: its name is localhost, or an IP address of
// 127.0.0.0/8 or ::1, in brackets or not. No name is looked up.
func IsLoopbackHost(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
