package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/adapters/eventlog/guard"
	"recapito/adapters/eventlog/layout"
)

// Inspection looks at a log that nothing runs on, and writes nothing.
type Inspection struct {
	db      *pebble.DB
	stored  layout.Reader // of db
	fs      vfs.FS
	dir     string
	lock    io.Closer
	lost    error           // of what was synced something is missing
	corrupt map[string]bool // files
}

// Options of an inspection. Only Dir is required.
type Options struct {
	Dir    string
	FS     vfs.FS       // nil means the operating system's
	Logger *slog.Logger // nil means slog.Default
}

// Inspect opens a folder for reading alone. Another process that has it open is an error.
func Inspect(o Options) (*Inspection, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	i := &Inspection{fs: o.FS, dir: o.Dir, corrupt: map[string]bool{}}
	if _, err := o.FS.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no event log in %s", o.Dir)
	}
	lock, err := guard.Lock(o.FS, o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open event log in %s: %w", o.Dir, err)
	}
	i.lock = lock
	i.lost = guard.Verify(o.FS, o.Dir)
	if i.db, err = pebble.Open(o.Dir, i.options(lock, o.Logger)); err != nil {
		return nil, errors.Join(fmt.Errorf("open event log in %s: %w", o.Dir, errors.Join(i.lost, err)), lock.Close())
	}
	i.stored = layout.Reader{DB: i.db}
	format, found, err := i.stored.Get(layout.FormatKey)
	switch {
	case err != nil: // Check reports what is broken
	case !found:
		err = errors.New("the folder holds no event log")
	default:
		err = layout.KnownFormat(format)
	}
	if err != nil && !errors.Is(err, pebble.ErrCorruption) {
		return nil, errors.Join(fmt.Errorf("open event log in %s: %w", o.Dir, err), i.Close())
	}
	return i, nil
}

// options are Pebble's, to read alone. A corrupt file is recorded, not an end.
func (i *Inspection) options(lock *pebble.Lock, logger *slog.Logger) *pebble.Options {
	return &pebble.Options{
		FS: i.fs, Lock: lock, ReadOnly: true, Logger: pebbleLogger{logger}, FormatMajorVersion: pebble.FormatNewest,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { logger.Warn("event log: background work failed", "error", err) },
			DataCorruption:  func(info pebble.DataCorruptionInfo) { i.corrupt[info.Path] = true },
		},
	}
}

// pebbleLogger logs Pebble's errors and drops the rest.
type pebbleLogger struct{ logger *slog.Logger }

func (pebbleLogger) Infof(string, ...any) {}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.logger.Error("event log: pebble", "message", fmt.Sprintf(format, args...))
}

func (p pebbleLogger) Fatalf(format string, args ...any) {
	panic("event log: pebble cannot go on: " + fmt.Sprintf(format, args...))
}

// Close releases the folder.
func (i *Inspection) Close() error {
	if err := errors.Join(i.db.Close(), i.lock.Close()); err != nil {
		return fmt.Errorf("close event log: %w", err)
	}
	return nil
}

// Progress is called, now and then, with how many keys of about how many were looked at.
type Progress func(done, total uint64)

// progressKeys is how many keys are looked at between two calls of a Progress.
const progressKeys = 1 << 12

// entries is about how many keys there are, older versions of them included.
func (i *Inspection) entries() uint64 {
	levels, err := i.db.SSTables(pebble.WithProperties())
	if err != nil {
		return 0
	}
	total := uint64(0)
	for _, tables := range levels {
		for _, t := range tables {
			if t.Properties != nil {
				total += t.Properties.NumEntries
			}
		}
	}
	return total
}

// walk visits the keys of a space that can be read, in order, and returns what kept it
// from reading others. The bytes are the visitor's until it returns. A visitor's error
// ends it.
func (i *Inspection) walk(ctx context.Context, space byte, visit func(key, value []byte) error) (unreadable []error, err error) {
	from, end := []byte{space}, []byte{space + 1}
	for from != nil {
		last, broken, err := i.stretch(ctx, from, end, visit)
		if err != nil || broken == nil {
			return unreadable, err
		}
		unreadable = append(unreadable, broken)
		if from, err = i.readable(after(last, from), end); err != nil {
			return unreadable, err
		}
	}
	return unreadable, nil
}

// after is the first key that a walk has not seen: behind the last, or where it began.
func after(last, from []byte) []byte {
	if last == nil {
		return from
	}
	return append(append([]byte(nil), last...), 0)
}

// stretch visits keys until one cannot be read, and returns the last before that.
func (i *Inspection) stretch(ctx context.Context, from, end []byte, visit func(key, value []byte) error) (last []byte, broken, err error) {
	it, err := i.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: end})
	if err != nil {
		return nil, nil, fmt.Errorf("look at the keys: %w", err)
	}
	defer it.Close()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n%progressKeys == 0 && ctx.Err() != nil {
			return nil, nil, fmt.Errorf("look at the keys: %w", context.Cause(ctx))
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return last, err, nil
		}
		if err := visit(it.Key(), value); err != nil {
			return nil, nil, err
		}
		last = append(last[:0], it.Key()...)
	}
	return last, it.Error(), nil
}

// readable finds a key at and after which can be read again: near before far, then as
// close behind the unreadable as it gets. Nil: there is none before end.
func (i *Inspection) readable(from, end []byte) ([]byte, error) {
	ok := func(key []byte) (bool, error) {
		it, err := i.db.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: end})
		if err != nil {
			return false, fmt.Errorf("look for readable keys: %w", err)
		}
		if it.First() {
			_, _ = it.ValueAndErr()
		}
		return it.Close() == nil, nil
	}
	bad := from
	for at := len(from); at >= 1; at-- {
		// behind all keys that begin as from does up to here
		key := append([]byte(nil), from[:at]...)
		if at == len(from) {
			key = append(key, 0)
		}
		if key[len(key)-1] == 0xff || len(key) == 1 {
			continue
		}
		key[len(key)-1]++
		good, err := ok(key)
		if err != nil {
			return nil, err
		}
		if good {
			return between(bad, key, ok)
		}
		bad = key
	}
	// The last that can be tried: behind all that begin with a letter.
	for letter := 0; len(bad) > 1 && letter <= 0xff; letter++ {
		key := []byte{bad[0], byte(letter)}
		if string(key) <= string(bad) {
			continue
		}
		if good, err := ok(key); err != nil || good {
			return key, err
		}
	}
	return nil, nil
}

// halvings bounds the search between two keys: eight bytes from the first that differs.
const halvings = 64

// between halves the distance from a key that is not ok to one that is.
func between(bad, good []byte, ok func([]byte) (bool, error)) ([]byte, error) {
	for range halvings {
		middle := half(bad, good)
		if string(middle) <= string(bad) || string(middle) >= string(good) {
			break
		}
		is, err := ok(middle)
		if err != nil {
			return nil, err
		}
		if is {
			good = middle
		} else {
			bad = middle
		}
	}
	return good, nil
}

// half is the key in the middle of two, as numbers whose digits are bytes, with one digit
// more than the longer has.
func half(a, b []byte) []byte {
	n := max(len(a), len(b)) + 1
	digit := func(k []byte, i int) int {
		if i < len(k) {
			return int(k[i])
		}
		return 0
	}
	sum := make([]int, n+1) // sum[0] is the carry
	carry := 0
	for i := n - 1; i >= 0; i-- {
		s := digit(a, i) + digit(b, i) + carry
		sum[i+1], carry = s%256, s/256
	}
	sum[0] = carry
	middle := make([]byte, n)
	rest := sum[0]
	for i := range n {
		v := rest*256 + sum[i+1]
		middle[i], rest = byte(v/2), v%2
	}
	for len(middle) > 0 && middle[len(middle)-1] == 0 {
		middle = middle[:len(middle)-1]
	}
	return middle
}
