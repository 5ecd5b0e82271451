package keystore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"recapito/adapters/keystore"
	"recapito/commands"
	"recapito/commands/keystoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, o keystore.Options) *keystore.Store {
	t.Helper()
	s, err := keystore.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSuite(t *testing.T) {
	keystoretest.Run(t, func(t *testing.T) keystoretest.Subject {
		dir := filepath.Join(t.TempDir(), "keystore")
		s := open(t, dir, keystore.Options{})
		return keystoretest.Subject{Store: s, Erase: s.MarkErased, Reopen: func(t *testing.T) commands.KeyStore {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, dir, keystore.Options{})
		}}
	})
}

func TestClosedStoreRefuses(t *testing.T) {
	s := open(t, t.TempDir(), keystore.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PersonKey(t.Context(), "acme", "k"); err != keystore.ErrClosed {
		t.Errorf("got %v", err)
	}
	if _, err := s.ClaimPerson(t.Context(), "acme", claimOf(candidate("1"), "", "a")); err != keystore.ErrClosed {
		t.Errorf("got %v", err)
	}
	if _, err := s.RouteKeys(t.Context(), "r", 0); err != keystore.ErrClosed {
		t.Errorf("got %v", err)
	}
}

func TestMasterKeyIsMadeOnceAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "keys", "master.key")
	var all [16][]byte
	var done sync.WaitGroup
	for i := range all {
		done.Go(func() {
			key, err := keystore.LoadMasterKey(path, true)
			if err != nil {
				t.Error(err)
			}
			all[i] = key
		})
	}
	done.Wait()
	again, err := keystore.LoadMasterKey(path, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range all {
		if len(key) != 32 || !bytes.Equal(key, again) {
			t.Fatal("two of those who made the master key at once hold different ones")
		}
	}
	if bytes.Equal(again, make([]byte, 32)) {
		t.Error("the key is all zeros")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%d files beside the key, %v", len(files), err)
	}
}

func TestMasterKeyThatIsNoneIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, f := range map[string]struct {
		size int
		mode os.FileMode
	}{"short": {31, 0o600}, "empty": {0, 0o600}, "long": {64, 0o600}, "open": {32, 0o644}} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, f.size), f.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, f.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		if _, err := keystore.LoadMasterKey(path, true); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := keystore.LoadMasterKey(filepath.Join(dir, "short", "master.key"), true); err == nil {
		t.Error("a key below a file was made")
	}
}

func BenchmarkClaimPerson(b *testing.B) {
	s := open(b, b.TempDir(), keystore.Options{})
	var n atomic.Int64
	b.SetParallelism(64) // × GOMAXPROCS
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := fmt.Sprint(n.Add(1))
			if _, err := s.ClaimPerson(b.Context(), "acme",
				claimOf(commands.PersonKey{PersonID: id, KeyID: id, Wrapped: make([]byte, 61)}, "r"+id, "a"+id)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// Where there are keys and no master key, none is made: a new one would open none of them.
func TestMissingMasterKeyIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := keystore.LoadMasterKey(path, false); !errors.Is(err, keystore.ErrMasterKeyMissing) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is there: %v", err)
	}
}
