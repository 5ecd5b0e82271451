package eventlog

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// role is what a file is to Pebble.
type role int

const (
	rolePlain    role = iota // tables and the like: what fails is done again from the start
	roleLog                  // write-ahead log: nothing can be written after a failure
	roleManifest             // the same, also while Pebble is opened
	roleFolder               // as the write-ahead log, since it may be that which is new in it
)

// role answers false for what is not the log's own, such as a backup on another disk.
func (s *space) role(name string) (role, bool) {
	if s.PathDir(name) != s.PathDir(s.PathJoin(s.dir, "x")) {
		return rolePlain, false
	}
	switch base := s.PathBase(name); {
	case strings.HasSuffix(base, ".log"):
		return roleLog, true
	case strings.HasPrefix(base, "MANIFEST-"), strings.HasPrefix(base, "marker.manifest"):
		return roleManifest, true
	}
	return rolePlain, true
}

// settle deals with the error of a call that space does not help.
func (s *space) settle(r role, err error) error {
	if err == nil {
		return nil
	}
	switch r {
	case rolePlain:
		s.pause() // Pebble tries again at once
	case roleManifest:
		s.park(err)
	case roleLog, roleFolder:
		if s.inUse() {
			s.park(err)
		}
	}
	return err
}

// inUse: to Open and Close Pebble answers such errors.
func (s *space) inUse() bool {
	select {
	case <-s.closing:
		return false
	default:
		return s.opened.Load()
	}
}

func (s *space) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.made(name, func() (vfs.File, error) { return s.FS.Create(name, category) })
}

func (s *space) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if number, ok := fileNumber(s.PathBase(oldname)); ok {
		s.synced.dropLog(number)
	}
	return s.made(newname, func() (vfs.File, error) { return s.FS.ReuseForWrite(oldname, newname, category) })
}

func (s *space) made(name string, do func() (vfs.File, error)) (vfs.File, error) {
	r, own := s.role(name)
	if !own {
		return do()
	}
	var f vfs.File
	err := s.hold(func() (err error) {
		f, err = do()
		return err
	})
	made := &spaceFile{File: f, space: s, role: r}
	made.number, made.noted = fileNumber(s.PathBase(name))
	if r != roleLog {
		return made, s.settle(r, err)
	}
	if err == nil && made.noted {
		// With it how far the one before was synced, which is closed by now.
		s.synced.noteLog(made.number, 0)
		err = s.hold(s.synced.save)
	}
	return made, s.settle(roleLog, err)
}

func (s *space) Remove(name string) error {
	if r, own := s.role(name); own && r == roleLog {
		if number, ok := fileNumber(s.PathBase(name)); ok {
			s.synced.dropLog(number)
		}
	}
	return s.FS.Remove(name)
}

func (s *space) Link(oldname, newname string) error {
	return s.named(newname, func() error { return s.FS.Link(oldname, newname) })
}

func (s *space) Rename(oldname, newname string) error {
	return s.named(newname, func() error { return s.FS.Rename(oldname, newname) })
}

func (s *space) named(name string, do func() error) error {
	r, own := s.role(name)
	if !own {
		return do()
	}
	return s.settle(r, s.hold(do))
}

func (s *space) MkdirAll(dir string, perm os.FileMode) error {
	return s.hold(func() error { return s.FS.MkdirAll(dir, perm) })
}

// OpenDir opens a folder to sync it.
func (s *space) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil || name != s.dir {
		return f, err
	}
	return &spaceFolder{File: f, space: s}, nil
}

type spaceFolder struct {
	vfs.File
	space *space
}

func (f *spaceFolder) Sync() error { return f.space.settle(roleFolder, f.space.hold(f.File.Sync)) }

// Unwrap is for vfs.Root.
func (s *space) Unwrap() vfs.FS { return s.FS }

// spaceFile is a file that is written once, from its start to its end.
type spaceFile struct {
	vfs.File
	space  *space
	role   role
	number uint64
	noted  bool // it has a number, and how far it was synced is noted

	mu       sync.Mutex
	sum      uint32 // of a manifest, up to offset
	offset   int64  // of what comes next
	unsynced []byte // what is before offset and not yet synced; not of plain files
}

func (f *spaceFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	written := 0
	if f.role != rolePlain {
		// Before the call, which may change p.
		f.unsynced = append(f.unsynced, p...)
	}
	if f.role == roleManifest {
		f.sum = crc32.Update(f.sum, castagnoli, p)
	}
	err := f.space.hold(func() error {
		for written < len(p) {
			n, err := f.File.Write(p[written:])
			written += n
			switch {
			case err == nil && n == 0:
				return io.ErrShortWrite
			case err != nil && (!errors.Is(err, io.ErrShortWrite) || n == 0):
				return err
			}
		}
		return nil
	})
	f.offset += int64(written)
	return written, f.space.settle(f.role, err)
}

func (f *spaceFile) Sync() error { return f.sync(f.File.Sync) }

func (f *spaceFile) SyncData() error { return f.sync(f.File.SyncData) }

// sync: a sync that found no space must not simply be repeated, since the system may
// have dropped what it could not write and then report success. What was not synced is
// written again first; a plain file's error goes through, and Pebble makes it anew.
func (f *spaceFile) sync(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.role == rolePlain {
		return f.space.settle(f.role, do())
	}
	lost := false
	err := f.space.hold(func() error {
		if lost {
			if _, err := f.WriteAt(f.unsynced, f.offset-int64(len(f.unsynced))); err != nil {
				return err
			}
		}
		lost = true
		return do()
	})
	if err != nil {
		return f.space.settle(f.role, err)
	}
	f.unsynced = f.unsynced[:0]
	return f.note()
}

// note: a manifest's is on disk when this returns, since Pebble builds upon it then.
func (f *spaceFile) note() error {
	switch {
	case !f.noted:
	case f.role == roleLog:
		f.space.synced.noteLog(f.number, f.offset)
	case f.role == roleManifest:
		s := &f.space.synced
		err := error(nil)
		if s.noteManifest(reach{f.number, f.offset, f.sum}) {
			// On both pages, so that the loss of one is no loss.
			err = f.space.hold(s.save)
			s.touch()
		}
		return f.space.settle(f.role, errors.Join(err, f.space.hold(s.save)))
	}
	return nil
}
