package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"recapito/commands/retry"
)

// lockWait is how long a predecessor that is shutting down may still hold the folder.
const lockWait = 5 * time.Second

// polling is how often a lock, or the state of a cluster, is looked at.
var polling = retry.Policy{First: 50 * time.Millisecond, Most: 50 * time.Millisecond}

// ErrLocked: another process uses the folder.
var ErrLocked = errors.New("folder is in use by another process")

// lockFile takes an exclusive lock on the file, which the kernel releases when the
// process ends, however it ends. Closing the file releases it too. The file stays.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	err = polling.Do(ctx, nil, func(context.Context) error {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EWOULDBLOCK), errors.Is(err, syscall.EINTR):
			return ErrLocked
		case err != nil:
			return retry.Permanent(err)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}
