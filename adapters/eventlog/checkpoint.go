package eventlog

import (
	"fmt"

	"github.com/google/uuid"

	"recapito/domain/event"
)

// checkpointsName is a folder in the log's own: hard links need the same file system.
const checkpointsName = "checkpoints"

// maxCheckpoints is how many there may be at a time: each keeps files on disk that the
// log itself may have no use for any more.
const maxCheckpoints = 4

// Checkpoint makes a folder that holds the log as it is at this moment, everything that
// was acknowledged included, while appends go on. Tables are hard links. It is removed
// by RemoveCheckpoint, or when the log is opened the next time.
func (l *Log) Checkpoint() (dir string, err error) {
	if err := l.enter(); err != nil {
		return "", err
	}
	defer l.leave()
	all := l.guard.PathJoin(l.guard.Dir(), checkpointsName)
	if err := l.guard.MkdirAll(all, 0o700); err != nil {
		return "", fmt.Errorf("make a checkpoint: %w", err)
	}
	there, err := l.guard.List(all)
	if err != nil {
		return "", fmt.Errorf("make a checkpoint: %w", err)
	}
	if len(there) >= maxCheckpoints {
		return "", fmt.Errorf("%w: %d checkpoints are in use", event.ErrUnavailable, len(there))
	}
	dir = l.guard.PathJoin(all, uuid.NewString())
	if err := l.db.Checkpoint(dir); err != nil {
		return "", fmt.Errorf("make a checkpoint: %w", err)
	}
	return dir, nil
}

// RemoveCheckpoint removes what Checkpoint returned.
func (l *Log) RemoveCheckpoint(dir string) error {
	if err := l.guard.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a checkpoint: %w", err)
	}
	return nil
}

// removeCheckpoints removes those that are no longer used.
func (l *Log) removeCheckpoints() error {
	if err := l.guard.RemoveAll(l.guard.PathJoin(l.guard.Dir(), checkpointsName)); err != nil {
		return fmt.Errorf("remove old checkpoints: %w", err)
	}
	return nil
}
