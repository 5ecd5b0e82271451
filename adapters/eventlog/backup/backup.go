package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Report is what a backup is and what it took.
type Report struct {
	Generation         string
	Files, Copied      int
	Bytes, CopiedBytes uint64
}

// Make adds a generation to a folder: the files of a checkpoint. The folder is made if it
// is not there; one that holds anything else is refused.
func Make(ctx context.Context, checkpoint, to string, now time.Time, progress Progress) (report Report, err error) {
	m := &maker{ctx: ctx, to: to, files: filepath.Join(to, filesName)}
	unlock, err := m.prepare()
	if err != nil {
		return report, fmt.Errorf("back up to %s: %w", to, err)
	}
	defer func() { err = errors.Join(err, unlock.Close()) }()
	if err := m.copyAll(checkpoint, &report, progress); err != nil {
		return report, fmt.Errorf("back up to %s: %w", to, err)
	}
	report.Generation = now.UTC().Format(nameLayout)
	if err := m.finish(report.Generation, now); err != nil {
		return report, fmt.Errorf("back up to %s: %w", to, err)
	}
	return report, nil
}

type maker struct {
	ctx       context.Context
	to, files string
	before    map[string]File // the generation before, by name
	made      Generation
}

// prepare makes and locks the folder, and reads the newest generation.
func (m *maker) prepare() (io.Closer, error) {
	entries, err := os.ReadDir(m.to)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		switch e.Name() {
		case filesName, generationsName, lockName:
		default:
			return nil, fmt.Errorf("the folder holds what is no backup: %s", e.Name())
		}
	}
	for _, dir := range []string{m.to, m.files, filepath.Join(m.to, generationsName)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := lock(m.to)
	if err != nil {
		return nil, err
	}
	if err := m.clear(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	m.before = map[string]File{}
	names, err := Generations(m.to)
	if err == nil && len(names) > 0 {
		// One that cannot be read only means that files are read again.
		if last, err := load(m.to, names[len(names)-1]); err == nil {
			for _, f := range last.Files {
				m.before[f.Name] = f
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// lock keeps a folder from being written by two.
func lock(dir string) (io.Closer, error) {
	l, err := vfs.Default.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("is another backup running? The folder is locked: %w", err)
	}
	return l, nil
}

// clear removes what a backup that was cut short left.
func (m *maker) clear() error {
	entries, err := os.ReadDir(m.files)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			if err := os.Remove(filepath.Join(m.files, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *maker) copyAll(checkpoint string, report *Report, progress Progress) error {
	entries, err := os.ReadDir(checkpoint)
	if err != nil {
		return err
	}
	var infos []os.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no file", e.Name())
		}
		infos = append(infos, info)
		report.Bytes += uint64(info.Size())
	}
	report.Files = len(infos)
	done := uint64(0)
	for _, info := range infos {
		f, copied, err := m.keep(filepath.Join(checkpoint, info.Name()), info)
		if err != nil {
			return fmt.Errorf("copy %s: %w", info.Name(), err)
		}
		if copied {
			report.Copied++
			report.CopiedBytes += uint64(f.Size)
		}
		m.made.Files = append(m.made.Files, f)
		done += uint64(info.Size())
		progress(done, report.Bytes)
	}
	return nil
}

// keep sees that a file's content is in the folder, and reports whether it was not before.
func (m *maker) keep(path string, info os.FileInfo) (File, bool, error) {
	f, known := m.before[info.Name()]
	if known && f.Size == info.Size() && f.Modified.Equal(info.ModTime()) && m.has(f) {
		return f, false, nil
	}
	f = File{Name: info.Name(), Modified: info.ModTime().UTC()}
	sum := sha256.New()
	in, err := os.Open(path)
	if err != nil {
		return f, false, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(m.files, temporary)
	if err != nil {
		return f, false, err
	}
	f.Size, err = io.Copy(out, io.TeeReader(reading{m.ctx, in}, sum))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return f, false, errors.Join(err, os.Remove(out.Name()))
	}
	f.SHA256 = sumOf(sum)
	if m.has(f) {
		return f, false, os.Remove(out.Name())
	}
	return f, true, os.Rename(out.Name(), filepath.Join(m.files, f.SHA256))
}

func (m *maker) has(f File) bool {
	info, err := os.Stat(filepath.Join(m.files, f.SHA256))
	return err == nil && info.Size() == f.Size
}

// finish writes the manifest, once everything that it names is durable.
func (m *maker) finish(name string, now time.Time) error {
	if err := m.ctx.Err(); err != nil {
		return context.Cause(m.ctx)
	}
	if err := syncDir(m.files); err != nil {
		return err
	}
	m.made.Format, m.made.Made = format, now.UTC()
	var err error
	if m.made.Sum, err = m.made.sum(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(m.made, "", " ")
	if err != nil {
		return err
	}
	dir := filepath.Join(m.to, generationsName)
	f, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name+".json")); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(m.to))
}

func sumOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// reading ends with its context.
type reading struct {
	ctx context.Context
	io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}
