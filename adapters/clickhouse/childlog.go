package clickhouse

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	tailLines     = 20      // of a child's stderr, kept for its error
	maxStderrLine = 4 << 10 // bytes; the rest of a longer line is dropped
)

// tailWriter passes a child's stderr on to the log, line by line, and keeps
// the last lines for the error of its end.
type tailWriter struct {
	logger *slog.Logger

	mu    sync.Mutex
	part  []byte
	lines []string
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range p {
		switch {
		case b != '\n':
			if len(t.part) < maxStderrLine {
				t.part = append(t.part, b)
			}
		case len(t.part) > 0:
			line := string(t.part)
			t.part = t.part[:0]
			if t.relay(line) {
				continue
			}
			t.logger.Info("ClickHouse engine's process", "line", line)
			t.lines = append(t.lines, line)
			if len(t.lines) > tailLines {
				t.lines = t.lines[1:]
			}
		}
	}
	return len(p), nil
}

// relay logs a line that is a record of the child's own log as such a record, and returns
// whether it is one.
func (t *tailWriter) relay(line string) bool {
	var record map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &record) != nil {
		return false
	}
	text, ok := record[slog.MessageKey].(string)
	name, _ := record[slog.LevelKey].(string)
	var level slog.Level
	if !ok || level.UnmarshalText([]byte(name)) != nil {
		return false
	}
	var attributes []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(record)) {
		switch key {
		case slog.MessageKey, slog.LevelKey, slog.TimeKey:
		default:
			attributes = append(attributes, slog.Any(key, record[key]))
		}
	}
	t.logger.LogAttrs(context.Background(), level, text, attributes...)
	return true
}

func (t *tailWriter) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if len(t.part) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(t.part))
	}
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines, " | ")
}
