package smtp

import (
	"fmt"
	"os"
)

// maxFileBytes bounds a file of the settings: a key, a list of certificates.
const maxFileBytes = 16 << 10

// readBounded reads a small file.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("names a file that cannot be read: %w", err)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("names a file of %d bytes; at most %d are allowed", info.Size(), maxFileBytes)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("names a file that cannot be read: %w", err)
	}
	return b, nil
}
