package netguard_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"recapito/commands/channel/netguard"
)

func TestPrivateAddressesAreRefused(t *testing.T) {
	for _, ip := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255",
		"192.0.0.8", "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
		"fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2001::1", "fd00:ec2::254",
	} {
		if err := (netguard.Guard{}).Check(netip.MustParseAddr(ip)); !errors.Is(err, netguard.ErrPrivate) {
			t.Errorf("%s is allowed", ip)
		}
	}
	if err := (netguard.Guard{}).Check(netip.Addr{}); err == nil {
		t.Error("no address is allowed")
	}
	for _, ip := range []string{"1.1.1.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"} {
		if err := (netguard.Guard{}).Check(netip.MustParseAddr(ip)); err != nil {
			t.Errorf("%s: %v", ip, err)
		}
	}
}

func TestAnOperatorAllowsNetworks(t *testing.T) {
	g, err := netguard.New([]string{"127.0.0.0/8", "fd12::/16"})
	if err != nil {
		t.Fatal(err)
	}
	for ip, allowed := range map[string]bool{"127.0.0.1": true, "::ffff:127.0.0.1": true, "fd12::9": true, "::1": false, "10.0.0.1": false, "fd13::1": false} {
		if err := g.Check(netip.MustParseAddr(ip)); (err == nil) != allowed {
			t.Errorf("%s: %v", ip, err)
		}
	}
	for _, wrong := range []string{"127.0.0.1", "x", "::ffff:10.0.0.0/104"} {
		if _, err := netguard.New([]string{wrong}); err == nil {
			t.Errorf("%q is a network", wrong)
		}
	}
}

// TestTheResolvedAddressIsChecked: "localhost" is a public-looking name; what counts is
// what it resolves to.
func TestTheResolvedAddressIsChecked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := net.Dialer{Control: netguard.Guard{}.Control}
	if _, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", port)); !errors.Is(err, netguard.ErrPrivate) {
		t.Errorf("dialled: %v", err)
	}
	g, _ := netguard.New([]string{"127.0.0.0/8", "::1/128"})
	d.Control = g.Control
	conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
