package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
	"recapito/cmd/config"
	"recapito/cmd/instance"
)

type eventlogCmd struct {
	Serve   eventlogServeCmd   `cmd:"" help:"Serve an event store's folder by EventStoreDB's protocol, as a process of its own."`
	Stats   eventlogStatsCmd   `cmd:"" help:"Count what a store holds and what it takes."`
	Check   eventlogCheckCmd   `cmd:"" help:"Verify every record's checksum and every index against the log."`
	Backup  eventlogBackupCmd  `cmd:"" help:"Back up a store, running or not, into a folder of backups; only what is new is copied."`
	Restore eventlogRestoreCmd `cmd:"" help:"Put a backed up store where there is none."`
	Copy    eventlogCopyCmd    `cmd:"" help:"Copy what is worth keeping of a store into an empty one, in order."`
	Import  eventlogImportCmd  `cmd:"" help:"Write events with ids, times and positions of their own into a store."`
}

type eventlogServeCmd struct {
	Data      string `help:"The folder under which the store is (in events). No instance may run on it." default:"./data" env:"RECAPITO_DATA" type:"path"`
	Addr      string `help:"Address to listen on." default:"127.0.0.1:2113"`
	Advertise string `help:"Address given to clients that look for the leader (default: the one listened on)." placeholder:"HOST:PORT"`
	TLSCert   string `name:"tls-cert" help:"Certificate chain (PEM); with it, TLS is the only way in." type:"existingfile"`
	TLSKey    string `name:"tls-key" help:"Its key (PEM)." type:"existingfile"`
	Password  string `help:"Password of the user admin; with none of the two, everybody is let in." env:"RECAPITO_EVENTLOG_PASSWORD"`
	Ledger    string `name:"ledger-password" help:"Password of the user recapito, who alone writes then." env:"RECAPITO_EVENTLOG_LEDGER_PASSWORD"`
}

// Run serves the store until it is stopped. Its first line of output is its address.
func (s eventlogServeCmd) Run(ctx context.Context, t terminal) error {
	log, err := config.ChildLogger(t.environ, t.err)
	if err != nil {
		return err
	}
	o := esdbserver.Options{Addr: s.Addr, Advertise: s.Advertise, Password: s.Password, LedgerPassword: s.Ledger, Policy: instance.StorePolicy(s.Ledger != "")}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if s.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return fmt.Errorf("loading the certificate: %w", err)
		}
		o.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	store, err := instance.OpenEmbedded(eventlog.Options{Dir: filepath.Join(s.Data, "events"), Uncompressed: instance.Uncompressed(), Logger: log}, o)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, store.Addr())
	select {
	case <-ctx.Done():
		return store.Close()
	case err := <-store.Served: // it ended by itself
		store.Served <- nil // for Close
		return errors.Join(err, store.Close())
	}
}
