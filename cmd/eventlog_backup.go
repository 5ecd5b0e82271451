package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/backup"
	"recapito/cmd/instance"
)

type eventlogBackupCmd struct {
	Data string `help:"The folder under which the store is (in events); an instance may run on it." default:"./data" env:"RECAPITO_DATA" type:"path"`
	To   string `required:"" help:"The folder of the backups. What it holds already is not copied again." type:"path" placeholder:"DIR"`
	Keep int    `help:"Remove the oldest generations beyond so many (0: none)." default:"0"`
}

// Run makes a generation of a checkpoint, which the process makes that has the store
// open, or else this one.
func (c eventlogBackupCmd) Run(ctx context.Context, t terminal) error {
	if c.Keep < 0 {
		return errors.New("--keep must not be negative")
	}
	began := time.Now()
	checkpoint, release, err := c.checkpoint(ctx, t)
	if err != nil {
		return err
	}
	bar := newProgress(t.err)
	report, err := backup.Make(ctx, checkpoint, c.To, began, bar.showSize)
	bar.end()
	if err := errors.Join(err, release()); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "generation %s: %d files, %s bytes; copied %d files, %s bytes, in %s\n", report.Generation,
		report.Files, thousands(report.Bytes), report.Copied, thousands(report.CopiedBytes), time.Since(began).Round(time.Millisecond))
	if c.Keep == 0 {
		return nil
	}
	removed, err := backup.Prune(c.To, c.Keep)
	for _, name := range removed {
		_, _ = fmt.Fprintf(t.out, "removed generation %s\n", name)
	}
	return err
}

func (c eventlogBackupCmd) checkpoint(ctx context.Context, t terminal) (dir string, release func() error, err error) {
	events := eventsFlag{c.Data}
	dir, end, err := instance.Checkpoint(ctx, events.dir())
	if err == nil {
		return dir, func() error { end(); return nil }, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	// Nothing runs on it; if something does, the folder's lock refuses it.
	inspection, err := inspectFlags{eventsFlag: events}.inspect(t) // makes nothing where there is nothing
	if err == nil {
		err = inspection.Close()
	}
	if err != nil {
		return "", nil, err
	}
	o, err := events.options(t)
	if err != nil {
		return "", nil, err
	}
	log, err := eventlog.Open(o)
	if err != nil {
		return "", nil, err
	}
	dir, err = log.Checkpoint()
	if err != nil {
		return "", nil, errors.Join(err, log.Close())
	}
	return dir, func() error { return errors.Join(log.RemoveCheckpoint(dir), log.Close()) }, nil
}

type eventlogRestoreCmd struct {
	From       string `required:"" help:"The folder of the backups." type:"path" placeholder:"DIR"`
	Data       string `help:"Where to: its folder events must not be there." default:"./data" env:"RECAPITO_DATA" type:"path"`
	Generation string `help:"Which backup (default: the newest)." placeholder:"NAME"`
	List       bool   `help:"Print the generations and do nothing."`
}

// Run restores a complete generation, or nothing.
func (c eventlogRestoreCmd) Run(ctx context.Context, t terminal) error {
	if c.List {
		names, err := backup.Generations(c.From)
		for _, name := range names {
			_, _ = fmt.Fprintln(t.out, name)
		}
		return err
	}
	bar := newProgress(t.err)
	name, err := backup.Restore(ctx, c.From, c.Generation, filepath.Join(c.Data, "events"), bar.showSize)
	bar.end()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "generation %s is restored in %s\n", name, time.Since(bar.began).Round(time.Millisecond))
	return nil
}

func (b *progressBar) showSize(done, total uint64) {
	share := portion(done, total)
	b.draw(share, fmt.Sprintf("%3.0f %%  %s of %s bytes", share*100, thousands(done), thousands(total)))
}
