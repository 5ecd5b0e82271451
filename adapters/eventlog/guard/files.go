package guard

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"recapito/commands/retry"
)

// role is what a file is to Pebble.
type role int

const (
	rolePlain    role = iota // tables and the like: what fails is done again from the start
	roleLog                  // write-ahead log: nothing can be written after a failure
	roleManifest             // the same, also while Pebble is opened
	roleFolder               // as the write-ahead log, since it may be that which is new in it
)

// role returns false for what is not the database's own, such as a backup on another disk.
func (s *FS) role(name string) (role, bool) {
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

// settle handles the error of a call that more space would not mend.
func (s *FS) settle(r role, err error) error {
	if err == nil {
		return nil
	}
	switch r {
	case rolePlain:
		_ = retry.Wait(s.life, s.every) // Pebble tries again at once
	case roleManifest:
		s.halt(err)
	case roleLog, roleFolder:
		if s.inUse() {
			s.halt(err)
		}
	}
	return err
}

// inUse reports whether Pebble is open. Its Open and Close return such errors.
func (s *FS) inUse() bool {
	return s.life.Err() == nil && s.opened.Load()
}

func (s *FS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return s.made(name, func() (vfs.File, error) { return s.FS.Create(name, category) })
}

func (s *FS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if number, ok := fileNumber(s.PathBase(oldname)); ok {
		s.note.drop(number)
	}
	return s.made(newname, func() (vfs.File, error) { return s.FS.ReuseForWrite(oldname, newname, category) })
}

func (s *FS) made(name string, do func() (vfs.File, error)) (vfs.File, error) {
	r, own := s.role(name)
	if !own {
		return do()
	}
	var f vfs.File
	err := s.whenSpace(func() (err error) {
		f, err = do()
		return err
	})
	made := &file{File: f, fs: s, role: r}
	made.number, made.noted = fileNumber(s.PathBase(name))
	if r != roleLog {
		return made, s.settle(r, err)
	}
	if err == nil && made.noted {
		// With it how far the one before was synced, which is closed by now.
		s.note.log(made.number, 0)
		err = s.whenSpace(s.note.save)
	}
	return made, s.settle(roleLog, err)
}

func (s *FS) Remove(name string) error {
	if r, own := s.role(name); own && r == roleLog {
		if number, ok := fileNumber(s.PathBase(name)); ok {
			s.note.drop(number)
		}
	}
	return s.FS.Remove(name)
}

func (s *FS) Link(oldname, newname string) error {
	return s.named(newname, func() error { return s.FS.Link(oldname, newname) })
}

func (s *FS) Rename(oldname, newname string) error {
	return s.named(newname, func() error { return s.FS.Rename(oldname, newname) })
}

func (s *FS) named(name string, do func() error) error {
	r, own := s.role(name)
	if !own {
		return do()
	}
	return s.settle(r, s.whenSpace(do))
}

func (s *FS) MkdirAll(dir string, perm os.FileMode) error {
	return s.whenSpace(func() error { return s.FS.MkdirAll(dir, perm) })
}

// OpenDir opens a folder to sync it.
func (s *FS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil || name != s.dir {
		return f, err
	}
	return &folder{File: f, fs: s}, nil
}

type folder struct {
	vfs.File
	fs *FS
}

func (f *folder) Sync() error { return f.fs.settle(roleFolder, f.fs.whenSpace(f.File.Sync)) }

// Unwrap is for vfs.Root.
func (s *FS) Unwrap() vfs.FS { return s.FS }

// file is a file that is written once, from its start to its end.
type file struct {
	vfs.File
	fs     *FS
	role   role
	number uint64
	noted  bool // it has a number, and how far it was synced is recorded

	mu       sync.Mutex
	sum      uint32 // of a manifest, up to offset
	offset   int64  // of what comes next
	unsynced []byte // what is before offset and not yet synced; not of plain files
}

func (f *file) Write(p []byte) (int, error) {
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
	err := f.fs.whenSpace(func() error {
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
	return written, f.fs.settle(f.role, err)
}

func (f *file) Sync() error { return f.sync(f.File.Sync) }

func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

// sync: a sync that found no space must not simply be repeated, since the system may
// have dropped what it could not write and then report success. What was not synced is
// written again first; a plain file's error goes through, and Pebble makes it anew.
func (f *file) sync(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.role == rolePlain {
		return f.fs.settle(f.role, do())
	}
	lost := false
	err := f.fs.whenSpace(func() error {
		if lost {
			if _, err := f.WriteAt(f.unsynced, f.offset-int64(len(f.unsynced))); err != nil {
				return err
			}
		}
		lost = true
		return do()
	})
	if err != nil {
		return f.fs.settle(f.role, err)
	}
	f.unsynced = f.unsynced[:0]
	return f.record()
}

// record records how far the file was synced. A manifest's record is on disk when it
// returns, since Pebble builds upon the manifest then.
func (f *file) record() error {
	switch {
	case !f.noted:
	case f.role == roleLog:
		f.fs.note.log(f.number, f.offset)
	case f.role == roleManifest:
		n := &f.fs.note
		err := error(nil)
		if n.manifest(extent{f.number, f.offset, f.sum}) {
			// On both pages, so that the loss of one is no loss.
			err = f.fs.whenSpace(n.save)
			n.touch()
		}
		return f.fs.settle(f.role, errors.Join(err, f.fs.whenSpace(n.save)))
	}
	return nil
}
