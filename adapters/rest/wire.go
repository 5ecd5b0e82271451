package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"time"

	"recapito/commands/channel/netguard"
)

const maxResponseHeaderBytes = 64 << 10

// config returns the TLS configuration, or what is wrong with it.
func (t TLS) config() (*tls.Config, error) {
	if err := t.validateFiles(); err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: t.ServerName, NextProtos: []string{"http/1.1"}}
	switch t.MinVersion {
	case "1.2":
		c.MinVersion = tls.VersionTLS12
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, errors.New("min_version must be 1.2 or 1.3")
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca_file holds no certificate in PEM")
		}
	}
	if t.CertificateFile != "" {
		certificate, err := tls.LoadX509KeyPair(t.CertificateFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate_file and key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c, nil
}

// dialError is a connection that was not made.
type dialError struct{ err error }

func (e *dialError) Error() string { return "connect: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer makes the route's connections.
type dialer struct {
	net     net.Dialer
	timeout time.Duration
	tls     *tls.Config
}

func newDialer(s *Settings) (*dialer, error) {
	guard, err := netguard.New(s.AllowNetworks)
	if err != nil {
		return nil, fmt.Errorf("allow_networks: %w", err)
	}
	config, err := s.TLS.config()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &dialer{net: net.Dialer{Control: guard.Control}, timeout: s.ConnectTimeout, tls: config}, nil
}

func (d *dialer) dial(ctx context.Context, network, addr string, withTLS bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	c, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	if !withTLS {
		return &conn{Conn: c}, nil
	}
	config := d.tls.Clone()
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			c.Close()
			return nil, &dialError{err}
		}
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, &dialError{err}
	}
	return &conn{Conn: secured}, nil
}

// transport speaks HTTP/1.1 over the dialer's connections. Responses that are late hold
// connections of their own, so that they take none from new messages.
func (d *dialer) transport(s *Settings) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dial(ctx, network, addr, false)
		},
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dial(ctx, network, addr, true)
		},
		MaxConnsPerHost:        2 * s.Connections,
		MaxIdleConnsPerHost:    s.Connections,
		IdleConnTimeout:        s.IdleTimeout,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		DisableCompression:     true, // what is read is bounded as it came
	}
}

// conn is a connection on which a call writes only while it may: the fence is asked right
// before the first byte of a request.
type conn struct {
	net.Conn
	mu   sync.Mutex
	call *call
}

var errNotPermitted = errors.New("nothing may be written")

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	of := c.call
	c.mu.Unlock()
	if of == nil || !of.permit() {
		return 0, errNotPermitted
	}
	return c.Conn.Write(p)
}

// call is one request on its way.
type call struct {
	fence func() bool

	mu        sync.Mutex
	connected bool // a connection was chosen
	written   bool // a byte was handed to it
	ended     bool // nothing will be, if it is not yet
}

// permit reports whether the request may be written, and records that it is.
func (c *call) permit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.written && (c.ended || !c.fence()) {
		c.ended = true
		return false
	}
	c.written = true
	return true
}

// end allows no first byte from now on, and reports whether there was one.
func (c *call) end() (written bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	return c.written
}

// connects reports whether a connection was chosen.
func (c *call) connects() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected
}

// trace gives a connection to the call once the transport has chosen it.
func (c *call) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if on, ok := info.Conn.(*conn); ok {
			on.mu.Lock()
			on.call = c
			on.mu.Unlock()
			c.mu.Lock()
			c.connected = true
			c.mu.Unlock()
		}
	}})
}
