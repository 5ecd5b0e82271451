package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"recapito/commands"
	"recapito/commands/retry"
)

const (
	// callPatience bounds a call with its repetitions, dialPatience a connection's start.
	callPatience = 10 * time.Second
	dialPatience = 5 * time.Second
	openPatience = 30 * time.Second // the schema may be another instance's to finish
	// maxConns of one store; pool_max_conns in the URL goes before it. More callers wait.
	maxConns = 16
	maxIdle  = 5 * time.Minute

	tries       = 4
	firstPause  = 50 * time.Millisecond
	application = "recapito"
)

// Store is safe for concurrent use by any number of processes. Close it.
type Store struct {
	pool *pgxpool.Pool
}

var _ commands.KeyStore = (*Store)(nil)

var errURL = errors.New("keystore.url: must be a connection string, such as postgres://user:password@host:5432/database")

// CheckURL errs if a connection string is none; the error does not hold it.
func CheckURL(raw string) error {
	_, err := configOf(raw)
	return err
}

func configOf(raw string) (*pgxpool.Config, error) {
	// Another form, without a URL's scheme, would be read for defaults of the machine.
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return nil, errURL
	}
	config, err := pgxpool.ParseConfig(raw)
	if err != nil {
		return nil, errURL // its own error repeats the string
	}
	if !u.Query().Has("pool_max_conns") {
		config.MaxConns = maxConns
	}
	config.MaxConnIdleTime = maxIdle
	config.ConnConfig.ConnectTimeout = dialPatience
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = application
	}
	config.AfterConnect = waitForDisk
	return config, nil
}

// waitForDisk makes a session's commits wait until they are durable, if the server's
// default is that they do not; a default that waits for replicas too is kept.
func waitForDisk(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

// Open connects and brings the schema up to date.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	config, err := configOf(rawURL)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("key store: %w", err)
	}
	s := &Store{pool: pool}
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	return s, nil
}

// Close waits for the calls in flight; those that come later fail.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// do runs a call that may be repeated, again while what failed it may pass.
func (s *Store) do(ctx context.Context, what string, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	err := retry.Policy{First: firstPause, Tries: tries}.Do(ctx, nil, func(ctx context.Context) error {
		err := call(ctx)
		if isResult(err) || !passes(err) {
			return retry.Permanent(err)
		}
		return err
	})
	if err == nil || isResult(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", what, commands.ErrKeysUnavailable, err)
}

var errTaken = errors.New("claiming a person: the candidate's key id is taken")

// isResult distinguishes what the store reports about its keys from a failed call.
func isResult(err error) bool {
	for _, result := range []error{commands.ErrKeyAbsent, commands.ErrKeyErased, errTaken} {
		if errors.Is(err, result) {
			return true
		}
	}
	return false
}

// SQLSTATE classes and codes of what passes by itself.
const (
	classConnection   = "08"
	classResources    = "53"
	classOperator     = "57" // shutdown, crash, cannot connect now, cancelled
	uniqueViolation   = "23505"
	serializationFail = "40001"
	deadlockDetected  = "40P01"
)

// passes reports whether a call should be tried again: the connection was lost, or others
// were in the way.
func passes(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return true // not PostgreSQL's words: of the way to it
	}
	switch pgErr.Code {
	case uniqueViolation, serializationFail, deadlockDetected:
		return true
	}
	switch pgErr.Code[:min(2, len(pgErr.Code))] {
	case classConnection, classResources, classOperator:
		return true
	}
	return false
}
