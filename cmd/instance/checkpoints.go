package instance

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"recapito/adapters/eventlog"
)

// checkpoints listens for another process on this machine that asks for a checkpoint of
// the store that this process has open (ADR 0012). The address and the key stand in the
// store's folder, in a file that only its owner can read.
type checkpoints struct {
	file   string
	log    *eventlog.Log
	server *http.Server
	served chan error
	key    string
}

// checkpointsPlace is the file events/checkpoints.json.
type checkpointsPlace struct {
	HTTP string `json:"http"`
	Key  string `json:"key"`
	PID  int    `json:"pid"`
}

const (
	checkpointPath     = "/checkpoint"
	checkpointsTimeout = 10 * time.Second // of all but the checkpoint's life
)

func checkpointsFile(events string) string { return filepath.Join(events, "checkpoints.json") }

// listenForCheckpoints listens on a free port of the loopback.
func listenForCheckpoints(events string, log *eventlog.Log) (*checkpoints, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint listener: %w", err)
	}
	d := &checkpoints{file: checkpointsFile(events), log: log, key: rand.Text(), served: make(chan error, 1)}
	raw, err := json.Marshal(checkpointsPlace{HTTP: l.Addr().String(), Key: d.key, PID: os.Getpid()})
	if err == nil {
		err = os.WriteFile(d.file+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(d.file+".new", d.file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the checkpoint listener: %w", err), l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+checkpointPath, d.checkpoint)
	life, end := context.WithCancel(context.Background())
	d.server = &http.Server{Handler: mux, ReadHeaderTimeout: checkpointsTimeout, BaseContext: func(net.Listener) context.Context { return life }}
	d.server.RegisterOnShutdown(end)
	go func() { d.served <- d.server.Serve(l) }() // ends with close
	return d, nil
}

// close ends the checkpoints that are in use.
func (d *checkpoints) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), checkpointsTimeout)
	defer cancel()
	err := d.server.Shutdown(ctx)
	if served := <-d.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if removed := os.Remove(d.file); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	if err != nil {
		return fmt.Errorf("closing the checkpoint listener: %w", err)
	}
	return nil
}

// checkpoint returns a folder, which stays until the caller closes the connection.
func (d *checkpoints) checkpoint(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+d.key)) != 1 {
		http.Error(w, "wrong key", http.StatusUnauthorized)
		return
	}
	dir, err := d.log.Checkpoint()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = d.log.RemoveCheckpoint(dir) }() // else the next start does
	if _, err := fmt.Fprintln(w, dir); err != nil {
		return
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	<-r.Context().Done()
}

// Checkpoint asks the process that has the store in a folder open for a checkpoint of it;
// release removes it. It returns fs.ErrNotExist if no process has the store open.
func Checkpoint(ctx context.Context, events string) (dir string, release func(), err error) {
	raw, err := os.ReadFile(checkpointsFile(events))
	if err != nil {
		return "", nil, err
	}
	var place checkpointsPlace
	if err := json.Unmarshal(raw, &place); err != nil {
		return "", nil, fmt.Errorf("reading %s: %w", checkpointsFile(events), err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+place.HTTP+checkpointPath, nil)
	if err != nil {
		return "", nil, fmt.Errorf("asking for a checkpoint: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+place.Key)
	answer, err := http.DefaultClient.Do(r) //nolint:bodyclose // release does
	if err != nil {
		return "", nil, fmt.Errorf("%w: nothing answers at %s: %w", fs.ErrNotExist, place.HTTP, err)
	}
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	switch {
	case err != nil:
	case answer.StatusCode == http.StatusServiceUnavailable:
		err = errors.New(strings.TrimSpace(line))
	case answer.StatusCode != http.StatusOK: // another program has the port by now
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = answer.Body.Close()
		return "", nil, fmt.Errorf("asking for a checkpoint: %w", err)
	}
	return strings.TrimSuffix(line, "\n"), func() {
		cancel()
		_ = answer.Body.Close()
	}, nil
}
