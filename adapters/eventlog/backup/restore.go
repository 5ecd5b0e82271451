package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Restore puts a generation (empty: the newest) where there is nothing yet, and returns
// its name.
func Restore(ctx context.Context, from, generation, to string, progress Progress) (string, error) {
	if generation == "" {
		names, err := Generations(from)
		if err != nil {
			return "", err
		}
		if len(names) == 0 {
			return "", fmt.Errorf("there is no backup in %s", from)
		}
		generation = names[len(names)-1]
	}
	g, err := load(from, generation)
	if err != nil {
		return "", err
	}
	if err := restore(ctx, from, g, to, progress); err != nil {
		return "", fmt.Errorf("restore generation %s: %w", generation, err)
	}
	return generation, nil
}

func restore(ctx context.Context, from string, g *Generation, to string, progress Progress) (err error) {
	if err := absent(to); err != nil {
		return err
	}
	parent := filepath.Dir(to)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, filepath.Base(to)+".restoring-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	total, done := uint64(0), uint64(0)
	for _, f := range g.Files {
		total += uint64(max(f.Size, 0))
	}
	for _, f := range g.Files {
		if err := put(ctx, filepath.Join(from, filesName, f.SHA256), filepath.Join(dir, f.Name), f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		done += uint64(f.Size)
		progress(done, total)
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	if err := absent(to); err != nil {
		return err
	}
	if err := os.Rename(dir, to); err != nil {
		return err
	}
	return syncDir(parent)
}

func absent(path string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s exists; a restore overwrites nothing", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// put copies a file, and refuses one that is not what it was.
func put(ctx context.Context, from, to string, f File) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	size, err := io.Copy(out, io.TeeReader(reading{ctx, in}, sum))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if size != f.Size || sumOf(sum) != f.SHA256 {
		return errors.New("the backup is corrupt: the file is not what was backed up")
	}
	return nil
}

// Prune keeps so many of the newest generations, and the files that they need.
func Prune(dir string, keep int) (removed []string, err error) {
	if keep < 1 {
		return nil, errors.New("at least one generation must be kept")
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock.Close()) }()
	names, err := Generations(dir)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for i, name := range names {
		if i >= len(names)-keep {
			g, err := load(dir, name) // one that cannot be read: nothing is removed
			if err != nil {
				return nil, err
			}
			for _, f := range g.Files {
				needed[f.SHA256] = true
			}
		}
	}
	for _, name := range names[:max(0, len(names)-keep)] {
		if err := os.Remove(filepath.Join(dir, generationsName, name+".json")); err != nil {
			return removed, fmt.Errorf("remove generation %s: %w", name, err)
		}
		removed = append(removed, name)
	}
	if err := syncDir(filepath.Join(dir, generationsName)); err != nil {
		return removed, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, filesName))
	if err != nil {
		return removed, err
	}
	for _, e := range entries {
		if !needed[e.Name()] && !strings.HasPrefix(e.Name(), temporary) {
			if err := os.Remove(filepath.Join(dir, filesName, e.Name())); err != nil {
				return removed, fmt.Errorf("remove what no generation needs: %w", err)
			}
		}
	}
	return removed, nil
}
