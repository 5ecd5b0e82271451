package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble reads its manifest and its newest write-ahead log up to the first damage and
// takes that for their end, as after a crash in the midst of a write: what stood behind it
// would be gone without a word, and files of which it no longer knows deleted. So the log
// notes, in a file beside Pebble's, how far those files were synced, and checks that
// before Pebble is let at them (verify.go).
//
// The note on a manifest is on disk before Pebble builds upon the manifest. That on the
// write-ahead log in use is taken every second while there is something to note, and when
// the log is closed: what was acknowledged in the last second before a crash is not covered.
const syncedName = "SYNCED"

// The file is two pages, written in turn, so that one is always whole.
const (
	syncedPage  = 4096
	syncedMagic = "rclsync1"
	// maxSyncedLogs is far more write-ahead logs than Pebble has unflushed.
	maxSyncedLogs = 64
)

// reach is how far a file was synced.
type reach struct {
	number uint64 // of the file
	size   int64
	sum    uint32 // CRC-32C of so much; not of write-ahead logs, which have their own
}

// syncedNote is what the file says.
type syncedNote struct {
	count     uint64  // the higher one of two pages holds
	manifests []reach // at most two, the newer first: one is being exchanged for the other
	logs      []reach // in order
}

func (n *syncedNote) encode() []byte {
	b := make([]byte, 0, syncedPage)
	b = append(b, syncedMagic...)
	b = binary.BigEndian.AppendUint64(b, n.count)
	for _, files := range [][]reach{n.manifests, n.logs} {
		b = append(b, byte(len(files)))
		for _, r := range files {
			b = binary.BigEndian.AppendUint64(b, r.number)
			b = binary.BigEndian.AppendUint64(b, uint64(r.size))
			b = binary.BigEndian.AppendUint32(b, r.sum)
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:syncedPage]
}

// decodeSynced answers false for what is not whole.
func decodeSynced(page []byte) (n syncedNote, ok bool) {
	rest, ok := strings.CutPrefix(string(page), syncedMagic)
	if !ok || len(rest) < 8 {
		return n, false
	}
	b := []byte(rest)
	n.count, b = binary.BigEndian.Uint64(b), b[8:]
	for _, files := range []*[]reach{&n.manifests, &n.logs} {
		if len(b) == 0 || len(b) < 1+int(b[0])*20 {
			return n, false
		}
		count := int(b[0])
		b = b[1:]
		for range count {
			*files = append(*files, reach{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint32(b[16:])})
			b = b[20:]
		}
	}
	end := len(page) - len(b)
	return n, len(b) >= sumSize && binary.BigEndian.Uint32(b) == crc32.Checksum(page[:end], castagnoli)
}

// synced keeps the note.
type synced struct {
	mu      sync.Mutex // guards note and changed
	note    syncedNote
	changed bool

	write sync.Mutex // held while the file is written
	file  vfs.File   // nil until there is one, and after the end
}

// fileNumber answers the number in the name of a manifest or a write-ahead log.
func fileNumber(base string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(base, "MANIFEST-"), ".log"), 10, 64)
	return n, err == nil
}

// noteLog: a write-ahead log was synced, or made if size is 0.
func (s *synced) noteLog(number uint64, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
	if i := slices.IndexFunc(s.note.logs, func(r reach) bool { return r.number == number }); i >= 0 {
		s.note.logs[i].size = size
		return
	}
	s.note.logs = append(s.note.logs, reach{number: number, size: size})
	if len(s.note.logs) > maxSyncedLogs {
		s.note.logs = s.note.logs[1:]
	}
}

// dropLog: a write-ahead log is no longer needed.
func (s *synced) dropLog(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note.logs = slices.DeleteFunc(s.note.logs, func(r reach) bool { return r.number == number })
}

// noteManifest answers whether it is another manifest than before.
func (s *synced) noteManifest(r reach) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
	if len(s.note.manifests) > 0 && s.note.manifests[0].number == r.number {
		s.note.manifests[0] = r
		return false
	}
	s.note.manifests = append([]reach{r}, s.note.manifests[:min(1, len(s.note.manifests))]...)
	return true
}

// save writes the note if it changed.
func (s *synced) save() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	if !s.changed || s.file == nil {
		s.mu.Unlock()
		return nil
	}
	s.note.count++
	count, page := s.note.count, s.note.encode()
	s.changed = false
	s.mu.Unlock()
	_, err := s.file.WriteAt(page, int64(count%2)*syncedPage)
	if err == nil {
		err = s.file.SyncData()
	}
	if err != nil {
		s.mu.Lock()
		s.changed = true
		s.mu.Unlock()
		return fmt.Errorf("note what is synced: %w", err)
	}
	return nil
}

// touch makes the next save write, though nothing changed.
func (s *synced) touch() {
	s.mu.Lock()
	s.changed = true
	s.mu.Unlock()
}

// readSynced answers nil if there is no note.
func readSynced(fs vfs.FS, name string) (*syncedNote, error) {
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", syncedName, err)
	}
	defer f.Close()
	pages := make([]byte, 2*syncedPage)
	n, err := io.ReadFull(f, pages)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", syncedName, err)
	}
	var newest *syncedNote
	for start := 0; start < n; start += syncedPage {
		if note, ok := decodeSynced(pages[start:min(n, start+syncedPage)]); ok && (newest == nil || note.count > newest.count) {
			newest = &note
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%w: the file %s, which says how far others were synced, cannot be read", ErrCorrupt, syncedName)
	}
	return newest, nil
}

// open takes the file into use, or makes it.
func (s *synced) open(fs vfs.FS, dir string) error {
	name := fs.PathJoin(dir, syncedName)
	if _, err := fs.Stat(name); errors.Is(err, os.ErrNotExist) {
		if err := s.create(fs, dir); err != nil {
			return fmt.Errorf("make %s: %w", syncedName, err)
		}
	}
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open %s: %w", syncedName, err)
	}
	s.write.Lock()
	s.file = f
	s.write.Unlock()
	return nil
}

func (s *synced) create(fs vfs.FS, dir string) error {
	temporary := fs.PathJoin(dir, syncedName+".new")
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	s.mu.Lock()
	page := s.note.encode()
	s.mu.Unlock()
	_, err = f.Write(append(page, make([]byte, syncedPage)...))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temporary, fs.PathJoin(dir, syncedName)); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close writes what is left to note and lets go of the file.
func (s *synced) close() error {
	err := s.save()
	s.write.Lock()
	defer s.write.Unlock()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	return err
}
