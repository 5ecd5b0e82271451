package clickhouse

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newPayload is a file in memory that the engine can open by path.
func newPayload() (*os.File, error) {
	fd, err := unix.MemfdCreate("recapito-insert", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a memory file for an insert: %w", err)
	}
	return os.NewFile(uintptr(fd), "insert"), nil
}

func pathOf(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }
