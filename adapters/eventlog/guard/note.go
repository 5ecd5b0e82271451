package guard

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

// NoteName is the file that records how far Pebble's files were synced.
//
// Pebble reads its manifest and its newest write-ahead log up to the first damage and
// takes that for their end, as after a crash in the midst of a write: what followed would
// be lost in silence, and files that Pebble no longer knows of would be deleted. So this
// file, next to Pebble's, records how far those were synced, and Check compares them
// before Pebble opens them (verify.go).
//
// What it records of a manifest is on disk before Pebble builds upon the manifest. What it
// records of the write-ahead log in use is written every second while there is something
// new, and when the database is closed: the last second before a crash is not covered.
const NoteName = "SYNCED"

// The file is two pages, written in turn, so that one is always complete.
const (
	notePage  = 4096
	noteMagic = "rclsync1"
	// maxLogs is far more write-ahead logs than Pebble has unflushed.
	maxLogs  = 64
	sumBytes = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extent is how far a file was synced.
type extent struct {
	number uint64 // of the file
	size   int64
	sum    uint32 // CRC-32C of so much; not of write-ahead logs, which have their own
}

// note is what the file records.
type note struct {
	count     uint64   // the higher one of two pages holds
	manifests []extent // at most two, the newer first: one is being exchanged for the other
	logs      []extent // in order
}

func (n *note) encode() []byte {
	b := make([]byte, 0, notePage)
	b = append(b, noteMagic...)
	b = binary.BigEndian.AppendUint64(b, n.count)
	for _, files := range [][]extent{n.manifests, n.logs} {
		b = append(b, byte(len(files)))
		for _, r := range files {
			b = binary.BigEndian.AppendUint64(b, r.number)
			b = binary.BigEndian.AppendUint64(b, uint64(r.size))
			b = binary.BigEndian.AppendUint32(b, r.sum)
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:notePage]
}

// decodeNote returns false for a page that is not complete.
func decodeNote(page []byte) (n note, ok bool) {
	rest, ok := strings.CutPrefix(string(page), noteMagic)
	if !ok || len(rest) < 8 {
		return n, false
	}
	b := []byte(rest)
	n.count, b = binary.BigEndian.Uint64(b), b[8:]
	for _, files := range []*[]extent{&n.manifests, &n.logs} {
		if len(b) == 0 || len(b) < 1+int(b[0])*20 {
			return n, false
		}
		count := int(b[0])
		b = b[1:]
		for range count {
			*files = append(*files, extent{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), binary.BigEndian.Uint32(b[16:])})
			b = b[20:]
		}
	}
	end := len(page) - len(b)
	return n, len(b) >= sumBytes && binary.BigEndian.Uint32(b) == crc32.Checksum(page[:end], castagnoli)
}

// noteFile keeps the note and its file.
type noteFile struct {
	mu      sync.Mutex // guards current and changed
	current note
	changed bool

	write sync.Mutex // held while the file is written
	file  vfs.File   // nil until there is one, and after the end
}

// fileNumber returns the number in the name of a manifest or a write-ahead log.
func fileNumber(base string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(base, "MANIFEST-"), ".log"), 10, 64)
	return n, err == nil
}

// log records that a write-ahead log was synced, or made if size is 0.
func (s *noteFile) log(number uint64, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
	if i := slices.IndexFunc(s.current.logs, func(r extent) bool { return r.number == number }); i >= 0 {
		s.current.logs[i].size = size
		return
	}
	s.current.logs = append(s.current.logs, extent{number: number, size: size})
	if len(s.current.logs) > maxLogs {
		s.current.logs = s.current.logs[1:]
	}
}

// drop forgets a write-ahead log that is no longer needed.
func (s *noteFile) drop(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.logs = slices.DeleteFunc(s.current.logs, func(r extent) bool { return r.number == number })
}

// manifest records that a manifest was synced, and returns whether it is another one than
// before.
func (s *noteFile) manifest(r extent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
	if len(s.current.manifests) > 0 && s.current.manifests[0].number == r.number {
		s.current.manifests[0] = r
		return false
	}
	s.current.manifests = append([]extent{r}, s.current.manifests[:min(1, len(s.current.manifests))]...)
	return true
}

// save writes the note if it changed.
func (s *noteFile) save() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	if !s.changed || s.file == nil {
		s.mu.Unlock()
		return nil
	}
	s.current.count++
	count, page := s.current.count, s.current.encode()
	s.changed = false
	s.mu.Unlock()
	_, err := s.file.WriteAt(page, int64(count%2)*notePage)
	if err == nil {
		err = s.file.SyncData()
	}
	if err != nil {
		s.mu.Lock()
		s.changed = true
		s.mu.Unlock()
		return fmt.Errorf("record what is synced: %w", err)
	}
	return nil
}

// touch makes the next save write, though nothing changed.
func (s *noteFile) touch() {
	s.mu.Lock()
	s.changed = true
	s.mu.Unlock()
}

// readNote returns nil if there is no note.
func readNote(fs vfs.FS, name string) (*note, error) {
	f, err := fs.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", NoteName, err)
	}
	defer f.Close()
	pages := make([]byte, 2*notePage)
	n, err := io.ReadFull(f, pages)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", NoteName, err)
	}
	var newest *note
	for start := 0; start < n; start += notePage {
		if note, ok := decodeNote(pages[start:min(n, start+notePage)]); ok && (newest == nil || note.count > newest.count) {
			newest = &note
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%w: the file %s, which records how far others were synced, cannot be read", ErrCorrupt, NoteName)
	}
	return newest, nil
}

// open takes the file into use, or makes it.
func (s *noteFile) open(fs vfs.FS, dir string) error {
	name := fs.PathJoin(dir, NoteName)
	if _, err := fs.Stat(name); errors.Is(err, os.ErrNotExist) {
		if err := s.create(fs, dir); err != nil {
			return fmt.Errorf("make %s: %w", NoteName, err)
		}
	}
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("open %s: %w", NoteName, err)
	}
	s.write.Lock()
	s.file = f
	s.write.Unlock()
	return nil
}

func (s *noteFile) create(fs vfs.FS, dir string) error {
	temporary := fs.PathJoin(dir, NoteName+".new")
	f, err := fs.Create(temporary, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	s.mu.Lock()
	page := s.current.encode()
	s.mu.Unlock()
	_, err = f.Write(append(page, make([]byte, notePage)...))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(temporary, fs.PathJoin(dir, NoteName)); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close writes what is left to record and closes the file.
func (s *noteFile) close() error {
	err := s.save()
	s.write.Lock()
	defer s.write.Unlock()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
		s.file = nil
	}
	return err
}
