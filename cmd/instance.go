package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"recapito/domain/tenant"
)

// Instance is DIR/run.json: where a running instance is found, and the local admin key
// that it made at its start. Readable by its owner alone, gone when it exits.
type Instance struct {
	HTTP       string `json:"http"`
	Metrics    string `json:"metrics"`
	EventStore string `json:"eventstore,omitempty"`
	Kafka      string `json:"kafka,omitempty"`
	ClickHouse string `json:"clickhouse,omitempty"`
	SMSC       string `json:"smsc,omitempty"`
	// ClickHousePassword is that of the embedded engine's writer, recapito.
	ClickHousePassword string `json:"clickhouse_password,omitempty"`
	APIKey             string `json:"api_key"`
	PID                int    `json:"pid"`
}

func instanceFile(dir string) string { return filepath.Join(dir, "run.json") }

// write replaces the file in one step.
func (i Instance) write(dir string) error {
	raw, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding run.json: %w", err)
	}
	if err := replaceFile(instanceFile(dir), append(raw, '\n')); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	return nil
}

// findInstance reads the file of the instance that runs on a folder and sees that it
// answers.
func findInstance(dir string) (Instance, error) {
	var i Instance
	notRunning := fmt.Errorf("no instance is running on %s: start one with `recapito serve` or `recapito sandbox` (or name its folder with --data)", dir)
	raw, err := os.ReadFile(instanceFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return i, notRunning
	}
	if err != nil {
		return i, fmt.Errorf("reading run.json: %w", err)
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		return i, fmt.Errorf("%s is no instance's file (%w): remove it if none runs", instanceFile(dir), err)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + i.HTTP + "/livez")
	if err != nil {
		return i, fmt.Errorf("%w (its run.json is stale)", notRunning)
	}
	_ = answer.Body.Close()
	return i, nil
}

// refuseRunning errs if an instance runs on a folder. The key tells it from another
// one that got the port of one that died.
func refuseRunning(ctx context.Context, dir string) error {
	i, err := findInstance(dir)
	if err != nil {
		return nil //nolint:nilerr // none that answers: the folder's locks tell of the rest
	}
	c := newClient(i, tenant.Default)
	c.http.Timeout = 5 * time.Second
	if err := c.call(ctx, http.MethodGet, "/v1/scenarios", nil, nil); err != nil {
		return nil //nolint:nilerr // as above
	}
	return fmt.Errorf("an instance already runs on %s (http://%s, process %d): stop it, or name another folder with --data and free ports with --http 127.0.0.1:0", dir, i.HTTP, i.PID)
}
