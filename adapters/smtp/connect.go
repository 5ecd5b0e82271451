package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	authPlain = "plain"
	authLogin = "login"

	// maxPreambleBytes bounds what a host may send before TLS.
	maxPreambleBytes = 64 << 10
)

// session is a connection to a host that greeted, with TLS and AUTH done.
type session struct {
	client   *smtp.Client
	conn     net.Conn // the TCP connection: closing it ends every read and write at once
	stop     func() bool
	messages int
	idle     time.Time // since when it is unused
}

func (s *session) close() {
	s.stop()
	_ = s.conn.Close()
}

// until closes the connection when ctx ends. stopped reports that it did not.
func (s *session) until(ctx context.Context) (stopped func() bool) {
	return context.AfterFunc(ctx, func() { _ = s.conn.Close() })
}

// connect returns a new session. Where the host refused it, the error is an SMTPError.
func (h *host) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, h.route.settings.ConnectTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.config.Addr)
	if err != nil {
		return nil, err
	}
	s := &session{conn: raw}
	stopped := s.until(ctx)
	s.client, err = h.open(ctx, &bounded{raw, h.route.settings.CommandTimeout})
	if !stopped() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	s.stop = s.until(h.route.life)
	return s, nil
}

// open takes a connection through TLS, EHLO and AUTH.
func (h *host) open(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	conn, err := h.secure(ctx, conn)
	if err != nil {
		return nil, err
	}
	c := smtp.NewClient(conn)
	c.CommandTimeout, c.SubmissionTimeout = h.route.settings.CommandTimeout, h.route.settings.SubmissionTimeout
	if err := c.Hello(h.route.hello); err != nil {
		return nil, err
	}
	if h.config.Username == "" {
		return c, nil
	}
	mechanism, err := h.mechanism(c)
	if err != nil {
		return nil, err
	}
	return c, c.Auth(mechanism)
}

func (h *host) mechanism(c *smtp.Client) (sasl.Client, error) {
	wants := func(name string) bool {
		return (h.config.Auth == "" || h.config.Auth == name) && c.SupportsAuth(strings.ToUpper(name))
	}
	switch {
	case wants(authPlain):
		return sasl.NewPlainClient("", h.config.Username, h.password), nil
	case wants(authLogin):
		return sasl.NewLoginClient(h.config.Username, h.password), nil
	}
	return nil, errors.New("the host does not offer the authentication mechanism")
}

// secure applies the host's policy on TLS. The client below reads a greeting and sends
// EHLO by itself; a connection that was greeted here greets it again.
func (h *host) secure(ctx context.Context, conn net.Conn) (net.Conn, error) {
	policy := h.config.tls()
	switch policy {
	case TLSNone:
		return conn, nil
	case TLSImplicit:
		secured := tls.Client(conn, h.tls)
		return secured, secured.HandshakeContext(ctx)
	}
	offered, err := h.startTLS(conn)
	switch {
	case err != nil:
		return nil, err
	case offered:
		secured := tls.Client(conn, h.tls)
		return &greeted{Conn: secured}, secured.HandshakeContext(ctx)
	case policy == TLSRequired:
		return nil, errors.New("the host does not offer STARTTLS")
	}
	return &greeted{Conn: conn}, nil
}

// startTLS speaks the plain beginning of RFC 3207, with our name: go-smtp says
// "localhost" there, which hosts refuse. What a host sends after its answer to STARTTLS
// and before the handshake is no part of the session.
func (h *host) startTLS(conn net.Conn) (offered bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(h.route.settings.CommandTimeout)); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.SetDeadline(time.Time{})) }()
	text := textproto.NewConn(struct {
		io.Reader
		io.Writer
		io.Closer
	}{io.LimitReader(conn, maxPreambleBytes), conn, conn})
	if _, _, err := reply(text, 220, ""); err != nil {
		return false, err
	}
	_, extensions, err := reply(text, 250, "EHLO "+h.route.hello)
	if err != nil {
		return false, err
	}
	if !slices.ContainsFunc(strings.Split(extensions, "\n"), func(e string) bool { return strings.EqualFold(e, "STARTTLS") }) {
		return false, nil
	}
	if _, _, err := reply(text, 220, "STARTTLS"); err != nil {
		return false, err
	}
	if text.R.Buffered() > 0 {
		return false, errors.New("the host sent something before the TLS handshake")
	}
	return true, nil
}

// reply sends a command, if there is one, and reads the answer.
func reply(text *textproto.Conn, expected int, command string) (int, string, error) {
	if command != "" {
		if err := text.PrintfLine("%s", command); err != nil {
			return 0, "", err
		}
	}
	code, message, err := text.ReadResponse(expected)
	var refused *textproto.Error
	if errors.As(err, &refused) {
		err = &smtp.SMTPError{Code: refused.Code}
	}
	return code, message, err
}

// bounded gives every write a deadline: the client sets none while it writes content.
type bounded struct {
	net.Conn
	timeout time.Duration
}

func (c *bounded) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// greeted is a connection whose greeting was read already.
type greeted struct {
	net.Conn
	again bool
}

func (c *greeted) Read(b []byte) (int, error) {
	if !c.again {
		c.again = true
		return copy(b, "220 \r\n"), nil
	}
	return c.Conn.Read(b)
}

// tlsConfig returns what a host's TLS needs; nil where there is none.
func (h Host) tlsConfig() (*tls.Config, error) {
	policy := h.tls()
	if policy == TLSNone {
		return nil, nil
	}
	name := h.ServerName
	if name == "" {
		var err error
		if name, _, err = net.SplitHostPort(h.Addr); err != nil {
			return nil, fmt.Errorf("addr: %w", err)
		}
	}
	c := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if policy == TLSOpportunistic {
		c.InsecureSkipVerify = true // RFC 7435: encryption without authentication is better than neither
	}
	if h.CAFile != "" {
		var err error
		if c.RootCAs, err = certificates(h.CAFile); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	return c, nil
}

func certificates(file string) (*x509.CertPool, error) {
	b, err := readBounded(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("holds no certificate in PEM")
	}
	return pool, nil
}
