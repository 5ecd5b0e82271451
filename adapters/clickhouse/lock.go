//go:build linux || darwin

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"recapito/commands/retry"
)

// ErrLocked is reported when another process holds the folder and does not let
// it go in time.
var ErrLocked = errors.New("another process has this ClickHouse folder open")

// lockFolder takes the folder's lock, which the kernel gives back when the
// process ends, however it does. It waits for a predecessor that is ending.
func lockFolder(ctx context.Context, path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the ClickHouse folder's lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	err = predecessor.Do(ctx, nil, func(context.Context) error {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, unix.EINTR):
			return fmt.Errorf("%w (waited at most %s): %s", ErrLocked, lockPatience, path)
		case err != nil:
			return retry.Permanent(fmt.Errorf("lock the ClickHouse folder: %w", err))
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}
