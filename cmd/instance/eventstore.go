package instance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/adapters/eventstore"
	"recapito/cmd/config"
	"recapito/commands"
	"recapito/domain/catalogue"
	"recapito/domain/event"
)

// EventStore is the event store with its state. The embedded engine and the client of
// another store both implement it.
type EventStore interface {
	commands.Store
	// State returns the newest position and whether appends are taken.
	State(ctx context.Context) (event.Position, error)
	Close() error
}

// Embedded is the engine in this process, and its server for others.
type Embedded struct {
	*eventlog.Log
	server *esdbserver.Server // nil if no address is configured
	// Password is that of the user admin.
	Password string
	// Served receives the end of the server, should it end before Close.
	Served      chan error
	checkpoints *checkpoints
}

const closeServer = 5 * time.Second

// OpenEmbedded opens the engine and serves it on an address, unless that is empty.
func OpenEmbedded(o eventlog.Options, so esdbserver.Options) (*Embedded, error) {
	log, err := eventlog.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the event store: %w", err)
	}
	s := &Embedded{Log: log, Served: make(chan error, 1)}
	if s.checkpoints, err = listenForCheckpoints(o.Dir, log); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if so.Addr == "" {
		return s, nil
	}
	so.Log, so.Logger = log, o.Logger
	s.Password = so.Password
	if s.server, err = esdbserver.New(so); err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("%s is taken (by another instance, or an EventStoreDB?): set eventstore.addr, or `--http 127.0.0.1:0` picks free ports", so.Addr)
		}
		return nil, errors.Join(err, s.checkpoints.close(), log.Close())
	}
	go func() { s.Served <- s.server.Serve() }() // ends with Close
	return s, nil
}

func (s *Embedded) State(context.Context) (event.Position, error) { return s.Last(), s.Healthy() }

// Addr is where others find the store; empty if nowhere.
func (s *Embedded) Addr() string {
	if s.server == nil {
		return ""
	}
	return s.server.Addr()
}

// Close ends the others' calls first.
func (s *Embedded) Close() error {
	if s.server == nil {
		return errors.Join(s.checkpoints.close(), s.Log.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeServer)
	defer cancel()
	return errors.Join(s.server.Close(ctx), <-s.Served, s.checkpoints.close(), s.Log.Close())
}

// openEventStore opens the embedded store, or the client of the one that is configured.
func openEventStore(c config.Config, log *slog.Logger) (EventStore, error) {
	if c.EventStore.URL != "" {
		s, err := eventstore.Open(eventstore.Options{URL: c.EventStore.URL, Logger: log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	served, err := servedStore(c)
	if err != nil {
		return nil, err
	}
	s, err := OpenEmbedded(eventlog.Options{Dir: filepath.Join(c.Data, "events"), Uncompressed: Uncompressed(), Logger: log}, served)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// servedStore is how an instance serves its store to others: over TLS, to whoever knows a
// password, to be read. The ledger itself writes in this process.
func servedStore(c config.Config) (esdbserver.Options, error) {
	o := esdbserver.Options{Addr: c.EventStore.Addr, Password: c.EventStore.Password, Policy: StorePolicy(true)}
	if o.Addr == "" {
		return o, nil
	}
	if o.Password == "" {
		o.Password = rand.Text()
	}
	certificate, err := selfSigned()
	if err != nil {
		return o, err
	}
	o.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	return o, nil
}

// StorePolicy keeps the ledger's streams: nobody deletes them; with alone, nobody but the
// ledger writes any stream that is not the store's own. (A stream of another name would be
// one of the ledger too.)
func StorePolicy(alone bool) esdbserver.Policy {
	ledger := catalogue.LedgerPrefixes()
	p := esdbserver.Policy{Kept: func(stream string) bool {
		return slices.ContainsFunc(ledger, func(prefix string) bool { return strings.HasPrefix(stream, prefix) })
	}}
	if alone {
		p.Protected = func(stream string) bool { return !strings.HasPrefix(stream, "$") }
	}
	return p
}

// selfSigned makes a certificate that lasts as long as the process: it keeps a password off
// the wire, and proves nothing.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the event store's key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "recapito event store"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the event store's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
