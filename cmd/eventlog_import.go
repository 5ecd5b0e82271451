package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"recapito/adapters/eventlog"
	"recapito/cmd/config"
	"recapito/cmd/instance"
)

// eventsFlag names the folder of a store that is worked on while nothing runs on it.
type eventsFlag struct {
	Data string `help:"The folder under which the store is (in events). No instance may run on it." default:"./data" env:"RECAPITO_DATA" type:"path"`
}

func (f eventsFlag) dir() string { return filepath.Join(f.Data, "events") }

func (f eventsFlag) options(t terminal) (eventlog.Options, error) {
	log, err := config.ChildLogger(t.environ, t.err)
	return eventlog.Options{Dir: f.dir(), Uncompressed: instance.Uncompressed(), Logger: log}, err
}

type eventlogImportCmd struct {
	eventsFlag
	File string `arg:"" help:"JSON Lines, one event a line (docs/eventstoredb.md); - is standard input."`
}

// Run imports the file, and reports how far it got also if it fails.
func (c eventlogImportCmd) Run(ctx context.Context, t terminal) error {
	source, size, err := c.open(t)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	o, err := c.options(t)
	if err != nil {
		return err
	}
	log, err := eventlog.Open(o)
	if err != nil {
		return err
	}
	bar := newProgress(t.err)
	read := &counted{Reader: source}
	lines := uint64(0)
	next := eventlog.ImportLines(read)
	report, err := log.Import(ctx, func() (eventlog.Imported, error) {
		if lines%progressEvery == 0 {
			bar.showBytes(lines, read.bytes, size)
		}
		lines++
		return next()
	})
	bar.end()
	_, _ = fmt.Fprintf(t.out, "%s events imported, %s stood there already, in %s; the last position is %d\n",
		thousands(report.Written), thousands(report.Skipped), time.Since(bar.began).Round(time.Millisecond), report.Last)
	if err != nil {
		err = fmt.Errorf("importing: %w", err)
	}
	return errors.Join(err, log.Close())
}

// progressEvery is how many events pass between two looks at the clock.
const progressEvery = 1000

// open returns the source and its size, 0 if that is not known.
func (c eventlogImportCmd) open(t terminal) (io.ReadCloser, uint64, error) {
	if c.File == "-" {
		return io.NopCloser(t.in), 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, fmt.Errorf("opening what to import: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("opening what to import: %w", err), f.Close())
	}
	return f, uint64(max(info.Size(), 0)), nil
}

// counted counts what was read.
type counted struct {
	io.Reader
	bytes uint64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += uint64(n)
	return n, err
}
