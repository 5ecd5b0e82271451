//go:build linux || darwin

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"recapito/commands/retry"
)

const (
	lockPatience = 10 * time.Second // how long another process may still hold the folder
	bootPatience = 3 * time.Second  // how long the engine may refuse it once it is ours
)

// predecessor is how often what a process that is ending still holds is tried again.
var predecessor = retry.Policy{First: 50 * time.Millisecond, Most: 200 * time.Millisecond}

// engine is the running ClickHouse of this process. There is at most one in
// the life of a process: the library starts once.
type engine struct {
	lib  *library
	args []string

	// first is the connection that started the engine. It stays open, since
	// closing the last one shuts the engine down, and it only ever runs the
	// front's own statements.
	first   *connection
	firstMu sync.Mutex

	name, version, timezone string
	insertBytes             int64 // of the rows of one insert
	memory                  int64 // that the engine has for all statements
}

// startEngine loads the library and opens the folder, which it creates if
// need be, waiting for a lock that a dying predecessor still holds.
func startEngine(ctx context.Context, libraryPath, dir string, memory int64) (*engine, error) {
	memory, err := checkMemory(memory)
	if err != nil {
		return nil, err
	}
	debug.SetMemoryLimit(memory / memoryPerHeap)
	lib, err := loadLibrary(libraryPath)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("make %s absolute: %w", dir, err)
	}
	// Without metadata/, DROP TABLE … SYNC hangs for ever on a fresh folder.
	if err := os.MkdirAll(filepath.Join(dir, "metadata"), 0o700); err != nil {
		return nil, fmt.Errorf("make the ClickHouse folder: %w", err)
	}
	unlock, err := lockFolder(ctx, filepath.Join(dir, "recapito.lock"))
	if err != nil {
		return nil, err
	}
	config, err := writeConfig(dir, memory)
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	e := &engine{lib: lib, args: []string{"--path=" + dir}, insertBytes: insertBytes(memory), memory: engineBytes(memory)}
	if err := e.boot(ctx, append(e.args, "--config-file="+config)); err != nil {
		return nil, errors.Join(err, unlock())
	}
	// From here the lock lives as long as the process, and so does the engine.
	return e, nil
}

// boot opens the first connection. The library gives no reason why one is
// refused; with our own lock held, the engine's own (code 76) can only be one
// that a dying process is about to let go.
func (e *engine) boot(ctx context.Context, args []string) error {
	signals := saveSignalActions()
	booting, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	err := predecessor.Do(booting, nil, func(context.Context) error {
		conn, ok := e.lib.open(args...)
		signals.restore()
		if !ok {
			return errors.New("the ClickHouse engine does not open its folder (it gives no reason; deleting the folder makes the next start rebuild it)")
		}
		e.first = conn
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := e.run("SET log_comment = " + quote(sessionMark(newID(), nil))); err != nil {
		return fmt.Errorf("mark the engine's own session: %w", err)
	}
	if _, err := e.run("CREATE DATABASE IF NOT EXISTS " + Database + " ENGINE = Atomic"); err != nil {
		return fmt.Errorf("create the database %s: %w", Database, err)
	}
	res, err := e.run("SELECT displayName(), version(), timezone()")
	if err != nil {
		return fmt.Errorf("ask the engine for its version: %w", err)
	}
	fields := strings.Split(strings.TrimSpace(string(res.data)), "\t")
	if len(fields) != 3 {
		return fmt.Errorf("the engine's version has %d fields, not 3", len(fields))
	}
	e.name, e.version, e.timezone = fields[0], fields[1], fields[2]
	return nil
}

// run executes one of the front's own statements.
func (e *engine) run(statement string) (result, error) {
	e.firstMu.Lock()
	defer e.firstMu.Unlock()
	return e.first.exec(statement, "TSV")
}

// session opens a connection for one request.
func (e *engine) session() (*connection, error) {
	conn, ok := e.lib.open(e.args...)
	if !ok {
		return nil, refuse(codeTooManyQueries, "the engine opened no connection")
	}
	return conn, nil
}

// kill cancels the statements of one request, by the comment in its session's
// settings, without waiting for them (waiting would block for ever).
func (e *engine) kill(id string) error {
	_, err := e.run("KILL QUERY WHERE Settings['log_comment'] = " + quote(id) + " AND query_id != queryID() ASYNC")
	return err
}

// stop shuts the engine down. No session may be open.
func (e *engine) stop() {
	e.firstMu.Lock()
	defer e.firstMu.Unlock()
	e.first.close()
}
