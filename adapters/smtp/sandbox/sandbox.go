// Package sandbox is a mail server for trying out the channel email on one machine: it
// takes mail and delivers it nowhere. It speaks SMTP by go-smtp, on loopback.
//
// A mailbox whose local part begins with "refused" is refused as unknown (550 5.1.1,
// RFC 5248), and one that begins with "busy" is put off (450 4.2.1), so that each can be
// seen to fail over or to be tried again.
package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// Limits of the sandbox.
const (
	maxMessageBytes = 16 << 20
	ioTimeout       = 30 * time.Second
)

// Server is a running sandbox.
type Server struct {
	Addr   string
	server *smtp.Server
	ended  chan error
}

// Start listens on an address of loopback.
func Start(addr string) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("starting the mail sandbox: %w", err)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{}, nil }))
	s.Domain, s.MaxMessageBytes, s.MaxRecipients = "sandbox.localhost", maxMessageBytes, 1
	s.ReadTimeout, s.WriteTimeout, s.EnableSMTPUTF8, s.EnableDSN = ioTimeout, ioTimeout, true, true
	s.ErrorLog = quiet{}
	started := &Server{Addr: listener.Addr().String(), server: s, ended: make(chan error, 1)}
	go func() { started.ended <- s.Serve(listener) }()
	return started, nil
}

// Stop ends the server and waits until it has ended.
func (s *Server) Stop() error {
	err := s.server.Close()
	if ended := <-s.ended; ended != nil && !errors.Is(ended, smtp.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

type session struct{}

func (session) Mail(string, *smtp.MailOptions) error { return nil }

func (session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "refused"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
	case strings.HasPrefix(to, "busy"):
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "mailbox is busy, try again later"}
	}
	return nil
}

func (session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (session) Reset()        {}
func (session) Logout() error { return nil }

// quiet drops the server's own log: the sandbox's peer sees every answer.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
