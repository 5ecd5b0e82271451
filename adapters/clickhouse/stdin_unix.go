//go:build linux || darwin

package clickhouse

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hideStdin puts /dev/null in the place of the process's stdin, and returns the reader
// that was given, on a descriptor of its own if it was that. For libchdb looks into the
// stdin for rows with every insert: it makes it not block, reads, and makes it block
// again. So of two inserts at once the second could stay in its read for as long as our
// parent lives, with its response, its memory and its place.
func hideStdin(given io.Reader) (io.Reader, error) {
	if given == os.Stdin {
		fd, err := unix.FcntlInt(os.Stdin.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("keep the ClickHouse engine's stdin: %w", err)
		}
		given = os.NewFile(uintptr(fd), "stdin")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("hide the ClickHouse engine's stdin: %w", err)
	}
	if err := errors.Join(unix.Dup2(int(null.Fd()), int(os.Stdin.Fd())), null.Close()); err != nil {
		return nil, fmt.Errorf("hide the ClickHouse engine's stdin: %w", err)
	}
	return given, nil
}
