// Package keystore is the commands.KeyStore on Pebble, in a directory of its own, apart
// from the events and their backups. It holds wrapped keys, keyed hashes and nothing
// else; the one secret, the master key, is a file next to it (LoadMasterKey).
//
// What a call that returned nil wrote was synced, and no call returns what
// another has written and not yet synced: Pebble shows a batch before its sync returns,
// so a writer holds the locks of what it writes until then. A store opened after a
// crash has everything that was ever returned.
package keystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/commands"
)

const (
	// memTableBytes and cacheBytes suit some hundred bytes a person.
	memTableBytes = 16 << 20
	cacheBytes    = 32 << 20
)

// ErrClosed: the store was closed.
var ErrClosed = errors.New("key store closed")

// Options of Open; the zero value is fine.
type Options struct {
	FS     vfs.FS       // the machine's if nil
	Logger *slog.Logger // discards if nil
}

// Store is safe for concurrent use by one process; a second one cannot open the
// directory. Close it.
type Store struct {
	db *pebble.DB

	closing sync.RWMutex // held for reading by every call
	closed  bool

	hashes  stripes // of hashes of persons; before any of records
	records stripes // of everything else, held one at a time
}

var _ commands.KeyStore = (*Store)(nil)

// Open opens the store in dir, made if absent.
func Open(dir string, o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("key store: %w", err)
	}
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	db, err := pebble.Open(dir, &pebble.Options{
		FS:                 o.FS,
		Cache:              cache,
		MemTableSize:       memTableBytes,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             logger{o.Logger},
	})
	if err != nil {
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	return &Store{db: db}, nil
}

// Close waits for the calls in flight; those that come later answer ErrClosed.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("closing the key store: %w", err)
	}
	return nil
}

// enter keeps the store open until leave.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.closing.RLock()
	if s.closed {
		s.closing.RUnlock()
		return nil, ErrClosed
	}
	return s.closing.RUnlock, nil
}

// get reads a record into to; not found is no error. Call it under the key's lock.
func (s *Store) get(key []byte, to any) (found bool, err error) {
	data, closer, err := s.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading the key store: %w", err)
	}
	err = json.Unmarshal(data, to)
	if err := errors.Join(err, closer.Close()); err != nil {
		return false, fmt.Errorf("reading a record of the key store: %w", err)
	}
	return true, nil
}

// create stores a record unless one stands under the key, and returns the one that
// stands then.
func create[R any](ctx context.Context, s *Store, key []byte, candidate R) (standing R, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return standing, err
	}
	defer leave()
	lock := s.records.of(key)
	lock.Lock()
	defer lock.Unlock()
	if found, err := s.get(key, &standing); err != nil || found {
		return standing, err
	}
	data, err := json.Marshal(candidate)
	if err != nil {
		return standing, fmt.Errorf("encoding a record: %w", err)
	}
	if err := s.db.Set(key, data, pebble.Sync); err != nil {
		return standing, fmt.Errorf("writing the key store: %w", err)
	}
	return candidate, nil
}

// read returns the record under a key.
func read[R any](ctx context.Context, s *Store, key []byte) (r R, found bool, err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return r, false, err
	}
	defer leave()
	lock := s.records.of(key)
	lock.RLock()
	defer lock.RUnlock()
	found, err = s.get(key, &r)
	return r, found, err
}

// walk calls f with the records whose keys begin with first, in order, until it returns
// false. Key and value are f's only during the call.
func (s *Store) walk(ctx context.Context, first []byte, f func(key, value []byte) (more bool, err error)) error {
	past := slices.Clone(first)
	for i := len(past) - 1; ; i-- { // the kind is no 0xff, so this ends
		if past[i]++; past[i] != 0 {
			past = past[:i+1]
			break
		}
	}
	it, err := s.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: first, UpperBound: past})
	if err != nil {
		return err
	}
	more := true
	for ok := it.First(); ok && more && err == nil; ok = it.Next() {
		more, err = f(it.Key(), it.Value())
	}
	return errors.Join(err, it.Error(), it.Close())
}

// logger hands Pebble's words to slog. Its chatter is for debugging.
type logger struct{ to *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.to.Debug("key store engine", "says", fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.to.Error("key store engine", "says", fmt.Sprintf(format, args...))
}

// Fatalf ends the process, as Pebble asks: it cannot sync, and what it would answer
// from then on may not be durable.
func (l logger) Fatalf(format string, args ...any) {
	l.to.Error("key store engine cannot go on", "says", fmt.Sprintf(format, args...))
	os.Exit(1)
}
