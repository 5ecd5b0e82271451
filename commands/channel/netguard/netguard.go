// Package netguard keeps connections that a setting or a request names away from private
// networks: an URL must not reach the machine's own services, its neighbours or a cloud's
// metadata service.
//
// Promise: the address that is checked is the one that is connected to, after the name was
// resolved. So a name that resolves to a private address is refused, at whatever time it
// does. An operator may allow networks.
//
// Not promised: that a public address does not forward to a private one.
package netguard

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrPrivate is wrapped by the error of a connection that was refused.
var ErrPrivate = errors.New("the address is in a private or special network, which allow_networks does not list")

// special are the networks that are not of the public internet: the registries of RFC 6890
// (https://www.iana.org/assignments/iana-ipv4-special-registry and …ipv6…), multicast, and
// the prefixes within which an IPv4 address is carried.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

func prefixes(all ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i, p := range all {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// Guard decides which addresses may be connected to. The zero value allows public ones.
type Guard struct{ allowed []netip.Prefix }

// New returns a guard that also allows some networks, in CIDR form. An IPv4 network is
// written as such, not within IPv6.
func New(allow []string) (Guard, error) {
	var g Guard
	for i, text := range allow {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			return Guard{}, fmt.Errorf("network %d must be in CIDR form, such as 10.1.0.0/16", i+1)
		}
		g.allowed = append(g.allowed, p.Masked())
	}
	return g, nil
}

// Check returns an error that wraps ErrPrivate if an address may not be connected to.
func (g Guard) Check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	for _, p := range g.allowed {
		if p.Contains(ip) {
			return nil
		}
	}
	if !ip.IsValid() {
		return ErrPrivate
	}
	for _, p := range special {
		if p.Contains(ip) {
			return ErrPrivate
		}
	}
	return nil
}

// Control is for net.Dialer: it is called with the resolved address of each connection,
// before it is made.
func (g Guard) Control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrPrivate
	}
	return g.Check(to.Addr())
}
