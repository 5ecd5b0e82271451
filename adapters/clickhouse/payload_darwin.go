package clickhouse

import (
	"fmt"
	"os"
)

// newPayload is a file without a name that the engine can open by its
// descriptor's path.
func newPayload() (*os.File, error) {
	file, err := os.CreateTemp("", "recapito-insert-")
	if err != nil {
		return nil, fmt.Errorf("make a file for an insert: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, fmt.Errorf("unlink an insert's file: %w", err)
	}
	return file, nil
}

func pathOf(file *os.File) string { return fmt.Sprintf("/dev/fd/%d", file.Fd()) }
