// Package smtptest holds counterparts for tests of e-mail: a server whose returns the test
// decides (SMTP or LMTP, by go-smtp), and a real Postfix that relays to it.
package smtptest

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// patience is how long Wait waits for what must happen.
const patience = 20 * time.Second

const readBufferBytes = 64 << 10

// Message is a message as it reached the server.
type Message struct {
	From, To string
	Mail     smtp.MailOptions
	Rcpt     smtp.RcptOptions
	Hello    string
	User     string // who authenticated; "" if nobody did
	TLS      bool
	Session  int    // the connection's number, from 1
	Data     []byte // lines ended by CRLF
}

// Header returns a header field of the message, unfolded; "" if it has none.
func (m Message) Header(name string) string {
	head, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
	head = strings.ReplaceAll(head, "\r\n ", " ")
	for _, line := range strings.Split(strings.ReplaceAll(head, "\r\n\t", " "), "\r\n") {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Options of a server. The zero value is an SMTP server without TLS and AUTH.
type Options struct {
	LMTP     bool
	TLS      *tls.Config // for STARTTLS, or from the first byte
	Implicit bool
	User     string // with AUTH PLAIN; "" if there is none
	Password string
	NoUTF8   bool
	NoDSN    bool
}

// Behaviour is how the server treats what comes from now on. The zero value accepts.
type Behaviour struct {
	Mail, Rcpt, Data error         // the answer; the last is that to the final dot
	Latency          time.Duration // of the answer to the final dot
	Silent           bool          // the message is taken and not returned
	Hang             bool          // MAIL gets no response
	CutBeforeDot     int           // the connection is cut after so many bytes of content; 0: it is not
}

// Server is a mail server in the test's hands.
type Server struct {
	t      testing.TB
	addr   string
	server *smtp.Server
	ended  chan struct{}
	once   sync.Once

	mu       sync.Mutex
	b        Behaviour
	messages []Message
	changed  chan struct{} // closed when a message comes
	conns    map[net.Conn]bool
	sessions int
	hung     int
	gone     chan struct{} // ends what is silent
}

// Start starts a server until the test ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, addr: listener.Addr().String(), ended: make(chan struct{}), changed: make(chan struct{}), conns: map[net.Conn]bool{}, gone: make(chan struct{})}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sessions++
		base := session{server: s, conn: c, number: s.sessions}
		if o.User != "" {
			return &authSession{session: base, user: o.User, password: o.Password}, nil
		}
		return &base, nil
	}))
	s.server.LMTP, s.server.Domain = o.LMTP, "sink.example"
	s.server.EnableSMTPUTF8, s.server.EnableDSN, s.server.AllowInsecureAuth = !o.NoUTF8, !o.NoDSN, true
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	s.server.ReadTimeout, s.server.WriteTimeout = time.Minute, time.Minute
	tracked := net.Listener(&tracking{listener, s})
	if o.Implicit {
		tracked = tls.NewListener(tracked, o.TLS)
	} else {
		s.server.TLSConfig = o.TLS
	}
	go func() {
		defer close(s.ended)
		_ = s.server.Serve(tracked)
	}()
	t.Cleanup(s.Stop)
	return s
}

// Addr returns the server's host:port.
func (s *Server) Addr() string { return s.addr }

// Port returns the server's port.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// Stop ends the server and its connections.
func (s *Server) Stop() {
	s.once.Do(func() {
		close(s.gone)
		_ = s.server.Close()
		s.Cut()
		<-s.ended
	})
}

// Cut ends the connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Behave sets how messages are treated from now on.
func (s *Server) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = b
}

func (s *Server) behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b
}

// Messages returns what came so far, refused or not, in order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Sessions returns how many connections there were.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Wait returns the messages, once there are that many.
func (s *Server) Wait(n int) []Message {
	s.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		all, changed := slices.Clone(s.messages), s.changed
		s.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-changed:
		case <-timeout.C:
			s.t.Fatalf("%d of %d messages came", len(all), n)
		}
	}
}

func (s *Server) came(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

// session is one connection's.
type session struct {
	server *Server
	conn   *smtp.Conn
	number int
	user   string
	m      Message
}

func (c *session) Reset()        {}
func (c *session) Logout() error { return nil }

func (c *session) Mail(from string, o *smtp.MailOptions) error {
	c.m = Message{From: from, Hello: c.conn.Hostname(), Session: c.number, User: c.user}
	if o != nil {
		c.m.Mail = *o
	}
	_, c.m.TLS = c.conn.TLSConnectionState()
	b := c.server.behaviour()
	if b.Hang {
		c.server.mu.Lock()
		c.server.hung++
		c.server.mu.Unlock()
		<-c.server.gone
	}
	return b.Mail
}

func (c *session) Rcpt(to string, o *smtp.RcptOptions) error {
	c.m.To = to
	if o != nil {
		c.m.Rcpt = *o
	}
	return c.server.behaviour().Rcpt
}

func (c *session) Data(r io.Reader) error {
	b := c.server.behaviour()
	if b.CutBeforeDot > 0 {
		_, err := io.ReadFull(r, make([]byte, b.CutBeforeDot))
		return errors.Join(err, c.conn.Conn().Close(), errors.New("cut"))
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.m.Data = data
	c.server.came(c.m)
	wait := b.Latency
	if b.Silent {
		wait = time.Hour
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.server.gone:
		}
	}
	return b.Data
}

type authSession struct {
	session
	password string
	user     string
}

func (c *authSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *authSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != c.user || password != c.password {
			return smtp.ErrAuthFailed
		}
		c.session.user = user
		return nil
	}), nil
}

// Mail refuses what is sent without AUTH.
func (c *authSession) Mail(from string, o *smtp.MailOptions) error {
	if c.session.user == "" {
		return smtp.ErrAuthRequired
	}
	return c.session.Mail(from, o)
}

// tracking knows the connections, so that they can be cut.
type tracking struct {
	net.Listener
	server *Server
}

func (l *tracking) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	// A client's write of much content then waits for the server to read it.
	if tcp, ok := c.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(readBufferBytes); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	l.server.mu.Lock()
	defer l.server.mu.Unlock()
	l.server.conns[c] = true
	return &trackedConn{c, l.server}, nil
}

type trackedConn struct {
	net.Conn
	server *Server
}

func (c *trackedConn) Close() error {
	c.server.mu.Lock()
	delete(c.server.conns, c.Conn)
	c.server.mu.Unlock()
	return c.Conn.Close()
}

// Hung returns how many messages got no response to MAIL.
func (s *Server) Hung() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hung
}
