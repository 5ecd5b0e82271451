//go:build !unix

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
)

// lockDir: without flock the folder is not guarded against a second simulator.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "smsc.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	return f, nil
}
