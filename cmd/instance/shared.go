package instance

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"recapito/adapters/eventstore"
	"recapito/commands/lease"
	"recapito/projections/follow"
)

// share makes the instance one of several, if its event store may have others: delivery
// is then shared by a feed, and what only one of them needs to do is held by leases. The
// embedded store has one instance.
func (l *Instance) share() error {
	outside, is := l.Engines.Events.(*eventstore.Store)
	if !is {
		return nil
	}
	holder, err := instanceID(l.Config.Data)
	if err != nil {
		return err
	}
	l.feed = outside.Feed()
	l.lease = func(work string) *lease.Lease {
		one := lease.New(l.Engines.Events, work, holder, l.log)
		l.leases = append(l.leases, one)
		return one
	}
	return nil
}

// projectionLease is nil where there is one instance.
func (l *Instance) projectionLease() func(string) follow.Lease {
	if l.lease == nil {
		return nil
	}
	return func(projection string) follow.Lease { return l.lease("projection-" + projection) }
}

const instanceIDBytes = 12

// instanceID is a random name of the instance on a folder, kept in it: an instance that
// is started again after a crash knows by it what was its own.
func instanceID(dir string) (string, error) {
	path := filepath.Join(dir, "instance")
	raw, err := os.ReadFile(path)
	if err == nil {
		if id := strings.TrimSpace(string(raw)); len(id) == 2*instanceIDBytes {
			return id, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the instance's id: %w", err)
	}
	var random [instanceIDBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	if err := replaceFile(path, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("writing the instance's id: %w", err)
	}
	return id, nil
}

// replaceFile writes a file that only its owner may read, in one step.
func replaceFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
