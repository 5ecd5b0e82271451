package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventstore"
	"recapito/cmd/config"
	"recapito/cmd/instance"
	"recapito/commands/storecopy"
)

type eventlogCopyCmd struct {
	From   string `required:"" help:"What to copy: esdb://…, or the folder of an instance that does not run." env:"RECAPITO_COPY_FROM" placeholder:"URL|DIR"`
	To     string `required:"" help:"Where to: an empty store, or one that holds the beginning of the copy." env:"RECAPITO_COPY_TO" placeholder:"URL|DIR"`
	Verify bool   `help:"Read both again afterwards and compare every event."`
}

type copyStore interface {
	storecopy.Target
	io.Closer
}

// openCopyStore opens a store by its URL or folder.
func openCopyStore(where string, log *slog.Logger) (copyStore, error) {
	if strings.Contains(where, "://") {
		s, err := eventstore.Open(eventstore.Options{URL: where, Logger: log})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := eventlog.Open(eventlog.Options{Dir: filepath.Join(where, "events"), Uncompressed: instance.Uncompressed(), Logger: log})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run copies, and reports how far it got also if it fails.
func (c eventlogCopyCmd) Run(ctx context.Context, t terminal) (err error) {
	log, err := config.ChildLogger(t.environ, t.err)
	if err != nil {
		return err
	}
	from, err := openCopyStore(c.From, log)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openCopyStore(c.To, log)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()

	bar := newProgress(t.err)
	report, err := storecopy.Copy(ctx, from, to, bar.showCopy)
	bar.end()
	printCopied(t.out, report, time.Since(bar.began))
	if err != nil {
		return fmt.Errorf("copying (the same command goes on where it ended): %w", err)
	}
	if !c.Verify {
		return nil
	}
	bar = newProgress(t.err)
	same, err := storecopy.Verify(ctx, from, to, bar.showCopy)
	bar.end()
	if err != nil {
		return fmt.Errorf("verifying, after %s events that are the same: %w", thousands(same), err)
	}
	_, _ = fmt.Fprintf(t.out, "verified: %s events are the same, in the same order\n", thousands(same))
	return nil
}

func printCopied(out io.Writer, r storecopy.Report, took time.Duration) {
	if r.Resumed {
		_, _ = fmt.Fprintf(out, "the target held the beginning already: its last %s events are the source's\n", thousands(r.Found))
	}
	_, _ = fmt.Fprintf(out, "%s events copied in %s\n", thousands(r.Copied), took.Round(time.Millisecond))
	kinds := make([]string, 0, len(r.Left))
	for kind := range r.Left {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		_, _ = fmt.Fprintf(out, "left out: %s events, %s\n", thousands(r.Left[kind]), kind)
	}
	if r.Shifted > 0 {
		_, _ = fmt.Fprintf(out, "%s streams had lost their beginning and have other revisions now\n", thousands(r.Shifted))
	}
}

// showCopy guesses from positions how far a copy is, and when it will be done.
func (b *progressBar) showCopy(p storecopy.Progress) {
	share := portion(uint64(p.At), uint64(p.Last))
	text := fmt.Sprintf("%3.0f %%  %s events  %.0f/s", share*100, thousands(p.Events), b.rate(p.Events))
	if left := time.Duration(float64(time.Since(b.began)) * (1 - share) / max(share, 0.001)); share < 1 && time.Since(b.began) > time.Second {
		text += "  " + left.Round(time.Second).String() + " left"
	}
	b.draw(share, text)
}
