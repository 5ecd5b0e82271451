package instance

import (
	"os"
	"path/filepath"
	"testing"
)

// An instance keeps its id over restarts; two have different ones; one that was damaged
// is made anew.
func TestInstanceID(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	id := func(dir string) string {
		t.Helper()
		id, err := instanceID(dir)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	mine := id(first)
	if again := id(first); again != mine || len(mine) != 2*instanceIDBytes {
		t.Errorf("ids %q and %q", mine, again)
	}
	if id(second) == mine {
		t.Error("two instances have one id")
	}
	if err := os.WriteFile(filepath.Join(first, "instance"), []byte("\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if made := id(first); made == mine || len(made) != len(mine) {
		t.Errorf("after damage: %q", made)
	}
	if info, err := os.Stat(filepath.Join(first, "instance")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := instanceID(filepath.Join(first, "absent")); err == nil {
		t.Error("an id was kept in a folder that is not there")
	}
}
