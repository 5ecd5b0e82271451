// Package export writes reports as files: CSV (RFC 4180), JSON Lines and Parquet, row by
// row, with memory that does not grow with the rows, and the manifest of what was
// written.
//
// A file is complete only if Close returned nil and its manifest's rows and hash are those
// of the file.
package export

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"

	"recapito/readmodels"
)

// Format of a file.
type Format struct {
	Name      string // as the parameter format and a file's ending name it
	MediaType string
}

// The formats.
var (
	CSV     = Format{"csv", "text/csv"}
	JSONL   = Format{"jsonl", "application/jsonl"}
	Parquet = Format{"parquet", "application/vnd.apache.parquet"}
)

// Formats lists them.
func Formats() []Format { return []Format{CSV, JSONL, Parquet} }

// Manifest describes an export: what was asked for, and what was written.
type Manifest struct {
	Report  string              `json:"report"`
	Tenant  string              `json:"tenant"`
	Query   map[string]any      `json:"query" doc:"What was asked for; never an address."`
	AsOf    *time.Time          `json:"as_of,omitempty" doc:"The time as of which it shows what was known."`
	Cut     *Cut                `json:"cut,omitempty" doc:"The place in the order of events that as_of means."`
	Format  string              `json:"format"`
	Columns []readmodels.Column `json:"columns"`
	Rows    uint64              `json:"rows"`
	Bytes   uint64              `json:"bytes"`
	SHA256  string              `json:"sha256" doc:"Of all bytes, in hexadecimal."`
	Began   time.Time           `json:"began"`
	Ended   time.Time           `json:"ended"`
	Version string              `json:"version" doc:"Of the instance."`
}

// Cut is a place in the order of all ledger events.
type Cut struct {
	Seq  uint64    `json:"seq" doc:"How many ledger events there are before it."`
	Time time.Time `json:"time" doc:"Of the mark that says so."`
}

// encoder writes rows in a format.
type encoder interface {
	row(values []any) error
	close() error
}

// Writer writes a file.
type Writer struct {
	encoder encoder
	counted *counter
	width   int
	rows    uint64
}

// counter counts and hashes what goes through.
type counter struct {
	to   io.Writer
	hash hash.Hash
	n    uint64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.hash.Write(p[:n])
	c.n += uint64(n) //nolint:gosec // never negative
	return n, err
}

// New begins a file with these columns.
func New(f Format, to io.Writer, columns []readmodels.Column) (*Writer, error) {
	w := &Writer{counted: &counter{to: to, hash: sha256.New()}, width: len(columns)}
	var err error
	switch f {
	case CSV:
		w.encoder, err = newCSV(w.counted, columns)
	case JSONL:
		w.encoder = newJSONL(w.counted, columns)
	case Parquet:
		w.encoder = newParquet(w.counted, columns)
	default:
		return nil, fmt.Errorf("export: no format %q", f.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("export: beginning: %w", err)
	}
	return w, nil
}

// Row writes a row: a value a column, of the column's kind or nil. It keeps none.
func (w *Writer) Row(values []any) error {
	if len(values) != w.width {
		return fmt.Errorf("export: a row of %d values in %d columns", len(values), w.width)
	}
	if err := w.encoder.row(values); err != nil {
		return fmt.Errorf("export: writing a row: %w", err)
	}
	w.rows++
	return nil
}

// Close ends the file, and records it in the manifest.
func (w *Writer) Close(m *Manifest) error {
	if err := w.encoder.close(); err != nil {
		return fmt.Errorf("export: ending: %w", err)
	}
	m.Rows, m.Bytes, m.SHA256 = w.rows, w.counted.n, hex.EncodeToString(w.counted.hash.Sum(nil))
	return nil
}

// texts writes a moment and a day.
func timeText(kind readmodels.Kind, t time.Time) string {
	if kind == readmodels.Date {
		return t.Format(time.DateOnly)
	}
	return t.Format("2006-01-02T15:04:05.000000Z")
}
