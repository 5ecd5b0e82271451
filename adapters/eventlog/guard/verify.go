package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// ErrCorrupt is wrapped by every error about bytes that are not as they were written.
var ErrCorrupt = errors.New("the store is corrupt")

// Verify compares the manifest and the write-ahead logs of a folder with the record of
// what was synced. A folder without such a record passes. The folder is locked.
func Verify(fs vfs.FS, dir string) error {
	_, err := verify(fs, dir)
	return err
}

// NewestLog returns the number of the newest write-ahead log on record, and how many bytes
// of it were synced; zeros if there is no record. The folder is not in use.
func NewestLog(fs vfs.FS, dir string) (number uint64, synced int64, err error) {
	n, err := readNote(fs, fs.PathJoin(dir, NoteName))
	if err != nil || n == nil || len(n.logs) == 0 {
		return 0, 0, err
	}
	newest := n.logs[len(n.logs)-1]
	return newest.number, newest.size, nil
}

// verify is Verify, and returns the note; nil if there is none.
func verify(fs vfs.FS, dir string) (*note, error) {
	note, err := readNote(fs, fs.PathJoin(dir, NoteName))
	if err != nil || note == nil {
		return nil, err
	}
	found, err := pebble.Peek(dir, fs)
	if err != nil {
		return nil, fmt.Errorf("look for the manifest: %w", Damage(err))
	}
	if !found.Exists {
		return nil, fmt.Errorf("%w: there is no manifest", ErrCorrupt)
	}
	unflushed, err := verifyManifest(fs, found.ManifestFilename, note)
	if err != nil {
		return nil, err
	}
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return nil, fmt.Errorf("look for write-ahead logs: %w", err)
	}
	for _, r := range note.logs {
		if r.number < unflushed {
			continue // it is in tables
		}
		if err := verifyLog(logs, r); err != nil {
			return nil, err
		}
	}
	return note, nil
}

// verifyManifest returns the oldest write-ahead log that is needed.
func verifyManifest(fs vfs.FS, name string, n *note) (unflushed uint64, err error) {
	base := fs.PathBase(name)
	number, _ := fileNumber(base)
	var noted *extent
	for i := range n.manifests {
		if n.manifests[i].number == number {
			noted = &n.manifests[i]
		}
	}
	if noted == nil {
		return 0, fmt.Errorf("%w: %s is not a manifest that %s knows", ErrCorrupt, base, NoteName)
	}
	f, err := fs.Open(name)
	if err != nil {
		return 0, fmt.Errorf("open the manifest: %w", err)
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	synced := io.TeeReader(io.LimitReader(f, noted.size), sum)
	if unflushed, err = unflushedLog(io.MultiReader(synced, f)); err != nil {
		return 0, fmt.Errorf("read the manifest: %w", err)
	}
	// What a damage kept the reader from.
	if _, err := io.Copy(io.Discard, synced); err != nil {
		return 0, fmt.Errorf("read the manifest: %w", err)
	}
	if sum.Sum32() != noted.sum {
		return 0, fmt.Errorf("%w: %s is not as it was synced, in its first %d bytes", ErrCorrupt, base, noted.size)
	}
	return unflushed, nil
}

// Of a manifest's records: what stands before everything else.
const (
	manifestComparer  = 1
	manifestUnflushed = 2
)

// unflushedLog reads a manifest as Pebble does.
func unflushedLog(r io.Reader) (number uint64, err error) {
	records := pebblerecord.NewReader(r, 0)
	for {
		next, err := records.Next()
		var edit []byte
		if err == nil {
			edit, err = io.ReadAll(next)
		}
		if errors.Is(err, io.EOF) || pebblerecord.IsInvalidRecord(err) {
			return number, nil
		}
		if err != nil {
			return 0, err
		}
		tag, n := binary.Uvarint(edit)
		if n > 0 && tag == manifestComparer {
			size, m := binary.Uvarint(edit[n:])
			if m <= 0 || size > uint64(len(edit)-n-m) {
				continue
			}
			edit = edit[n+m+int(size):]
			tag, n = binary.Uvarint(edit)
		}
		if n > 0 && tag == manifestUnflushed {
			if log, m := binary.Uvarint(edit[n:]); m > 0 {
				number = log
			}
		}
	}
}

// logSlack is what stands behind the last record of a write-ahead log at most: the rest
// of a block that is too short for a record, and the mark of the end. No record of
// the log is so short.
const logSlack = 19 + 11

// verifyLog reads a write-ahead log, as Pebble will.
func verifyLog(logs wal.Logs, r extent) error {
	if r.size == 0 {
		return nil
	}
	log, ok := logs.Get(wal.NumWAL(r.number))
	if !ok {
		return fmt.Errorf("%w: write-ahead log %06d is missing", ErrCorrupt, r.number)
	}
	reader := log.OpenForRead()
	defer func() { _ = reader.Close() }()
	for {
		next, at, err := reader.NextRecord()
		if err == nil {
			_, err = io.Copy(io.Discard, next)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, os.ErrNotExist) || !errors.Is(err, io.EOF) && !pebblerecord.IsInvalidRecord(err) {
			return fmt.Errorf("read write-ahead log %06d: %w", r.number, Damage(err))
		}
		if end := at.PreviousFilesBytes + at.Physical; end+logSlack < r.size {
			return fmt.Errorf("%w: write-ahead log %06d can be read up to byte %d, and was synced up to %d", ErrCorrupt, r.number, end, r.size)
		}
		return nil
	}
}

// Damage makes an error of Pebble's about bytes that are not as written wrap ErrCorrupt.
func Damage(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
