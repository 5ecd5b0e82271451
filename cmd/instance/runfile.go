package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// RunFile is DIR/run.json: where a running instance is found, and the local admin key
// that it made at its start. Readable by its owner alone, gone when it exits.
type RunFile struct {
	HTTP       string `json:"http"`
	Metrics    string `json:"metrics"`
	EventStore string `json:"eventstore,omitempty"`
	// EventStorePassword is that of the user admin of the embedded store, who reads.
	EventStorePassword string `json:"eventstore_password,omitempty"`
	Kafka              string `json:"kafka,omitempty"`
	ClickHouse         string `json:"clickhouse,omitempty"`
	SMSC               string `json:"smsc,omitempty"`
	// ClickHousePassword is that of the embedded engine's writer, recapito.
	ClickHousePassword string `json:"clickhouse_password,omitempty"`
	APIKey             string `json:"api_key"`
	PID                int    `json:"pid"`
}

func runFilePath(dir string) string { return filepath.Join(dir, "run.json") }

// write replaces the file in one step.
func (i RunFile) write(dir string) error {
	raw, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding run.json: %w", err)
	}
	if err := replaceFile(runFilePath(dir), append(raw, '\n')); err != nil {
		return fmt.Errorf("writing run.json: %w", err)
	}
	return nil
}

// Find reads the file of the instance that runs on a folder. It errs unless the instance
// is alive.
func Find(dir string) (RunFile, error) {
	var i RunFile
	notRunning := fmt.Errorf("no instance is running on %s: start one with `recapito serve` or `recapito sandbox` (or name its folder with --data)", dir)
	raw, err := os.ReadFile(runFilePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return i, notRunning
	}
	if err != nil {
		return i, fmt.Errorf("reading run.json: %w", err)
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		return i, fmt.Errorf("%s is not an instance's file (%w): remove it if none runs", runFilePath(dir), err)
	}
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + i.HTTP + "/livez")
	if err != nil {
		return i, fmt.Errorf("%w (its run.json is stale)", notRunning)
	}
	_ = answer.Body.Close()
	return i, nil
}
