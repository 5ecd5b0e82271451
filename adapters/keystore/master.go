package keystore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// masterKeyBytes is the length of the master key: AES-256.
const masterKeyBytes = 32

// ErrMasterKeyMissing: there are keys, and not the master key that opens them.
var ErrMasterKeyMissing = errors.New("the master key is missing, without which no stored key opens")

// LoadMasterKey reads the master key from its file, 32 random bytes that only the
// owner may read (0600). If there is no file it is made, durable when this returns;
// of several processes that make it at once all get the same. Without this file
// nothing personal can be opened any more: back it up, apart from everything else.
//
// mayMake is false where keys are wrapped by a master key already: another one would open
// none of them. ErrMasterKeyMissing then.
func LoadMasterKey(path string, mayMake bool) ([]byte, error) {
	key, err := readMasterKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if !mayMake {
		return nil, fmt.Errorf("%w: put %s back from its backup", ErrMasterKeyMissing, path)
	}
	if err := makeMasterKey(path); err != nil {
		return nil, fmt.Errorf("making the master key: %w", err)
	}
	return readMasterKey(path)
}

func readMasterKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key: %s may be read by others (%v): make it 0600", path, info.Mode().Perm())
	}
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if len(key) != masterKeyBytes {
		return nil, fmt.Errorf("master key: %s has %d bytes, not %d", path, len(key), masterKeyBytes)
	}
	return key, nil
}

// makeMasterKey writes the file under another name and links it to its own when it is
// complete and synced, so that nobody reads half a key and none is ever overwritten.
func makeMasterKey(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".master-*") // 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	key := make([]byte, masterKeyBytes)
	rand.Read(key)
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// If another process was faster, its link is synced here as well before it is used.
	err = os.Link(f.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, syncDir(dir), syncDir(filepath.Dir(dir)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
