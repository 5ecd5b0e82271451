// Package backup keeps backups of an event log in a folder, and restores them.
//
// Promises:
//   - A backup is one moment of the log: it is made of a checkpoint (eventlog.Checkpoint).
//   - It is incremental: only files that the folder does not hold yet are copied. Of files
//     with the name, size and time of modification that they had in the backup before,
//     what was found then is taken to hold; tables are never rewritten.
//   - The folder holds several generations. One is there from when its manifest is, and
//     complete; a backup that is cut short leaves the others as they were, and what it had
//     copied is used by the next.
//   - A restore verifies every byte by SHA-256, and puts the complete store where there was
//     none, or nothing.
//
// How it is laid out: generations/<time>.json lists which files a generation has;
// files/<SHA-256> are their contents.
package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	filesName       = "files"
	generationsName = "generations"
	lockName        = "LOCK"
	temporary       = "new-" // of a file that is not complete
	format          = 1
	nameLayout      = "20060102T150405.000000000Z"
)

// Generation is one backup.
type Generation struct {
	Format int       `json:"format"`
	Made   time.Time `json:"made"`
	Files  []File    `json:"files"`
	Sum    string    `json:"sum"` // SHA-256 of Files as JSON
}

// File is a file of a generation.
type File struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256"`
}

// Progress is called with how many bytes of how many are done.
type Progress func(done, total uint64)

func (g *Generation) sum() (string, error) {
	raw, err := json.Marshal(g.Files)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), err
}

var isHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// valid refuses a manifest that is not as it was written.
func (g *Generation) valid() error {
	if g.Format != format {
		return fmt.Errorf("it has format %d, this program knows %d", g.Format, format)
	}
	if sum, err := g.sum(); err != nil || sum != g.Sum {
		return errors.Join(errors.New("it is corrupt: its checksum differs"), err)
	}
	for _, f := range g.Files {
		if f.Name == "" || f.Name != filepath.Base(f.Name) || strings.HasPrefix(f.Name, ".") || !isHash.MatchString(f.SHA256) {
			return fmt.Errorf("it is corrupt: a file is named %q", f.Name)
		}
	}
	return nil
}

// Generations lists the names of a folder's generations, the oldest first.
func Generations(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, generationsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the generations: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func load(dir, name string) (*Generation, error) {
	raw, err := os.ReadFile(filepath.Join(dir, generationsName, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no generation %s in %s", name, dir)
	}
	var g Generation
	if err == nil {
		err = json.Unmarshal(raw, &g)
	}
	if err == nil {
		err = g.valid()
	}
	if err != nil {
		return nil, fmt.Errorf("read generation %s: %w", name, err)
	}
	return &g, nil
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
