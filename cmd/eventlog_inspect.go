package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"recapito/adapters/eventlog/maintenance"
)

// inspectFlags are those of verbs that look at a store that nothing runs on.
type inspectFlags struct {
	eventsFlag
	JSON bool `name:"json" help:"JSON, for a script."`
}

func (f inspectFlags) inspect(t terminal) (*maintenance.Inspection, error) {
	o, err := f.options(t)
	if err != nil {
		return nil, err
	}
	return maintenance.Inspect(maintenance.Options{Dir: o.Dir, FS: o.FS, Logger: o.Logger})
}

type eventlogStatsCmd struct{ inspectFlags }

// Run counts and prints.
func (c eventlogStatsCmd) Run(ctx context.Context, t terminal) error {
	i, err := c.inspect(t)
	if err != nil {
		return err
	}
	bar := newProgress(t.err)
	s, err := i.Stats(ctx, bar.showKeys)
	bar.end()
	if err := errors.Join(err, i.Close()); err != nil {
		return fmt.Errorf("%w (recapito eventlog check has the details)", err)
	}
	if c.JSON {
		return printJSON(t.out, s)
	}
	return printStats(t.out, s)
}

// shownCategories is how many lines the table of categories has; --json has more.
const shownCategories = 20

func printStats(out io.Writer, s maintenance.Stats) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, form string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+form+"\n", args...) }
	row("events", "%s", thousands(s.Events))
	row("streams", "%s", thousands(s.Streams))
	for _, p := range []struct {
		name  string
		place *maintenance.Place
	}{{"first", s.First}, {"last", s.Last}} {
		if p.place != nil {
			row(p.name, "position %d, %s", p.place.Position, p.place.Created.Format(time.RFC3339Nano))
		}
	}
	row("on disk", "%s bytes, %.0f an event", thousands(s.DiskBytes), s.EventBytes)
	row("  write-ahead log", "%s bytes", thousands(s.LogBytes))
	for _, l := range s.Levels {
		row(fmt.Sprintf("  level %d", l.Level), "%s bytes in %s tables", thousands(l.Bytes), thousands(l.Tables))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(w, "\nstreams\tevents\t  category\n")
	for i, c := range s.Categories {
		if i == shownCategories {
			_, _ = fmt.Fprintf(w, "\t\t  and %s more\n", thousands(uint64(len(s.Categories)-i)))
			break
		}
		if c.Name == "" {
			c.Name = "(all others)"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t  %s\n", thousands(c.Streams), thousands(c.Events), c.Name)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

type eventlogCheckCmd struct{ inspectFlags }

// Run prints a line for every problem, and exits with 1 if there is any.
func (c eventlogCheckCmd) Run(ctx context.Context, t terminal) error {
	i, err := c.inspect(t)
	if err != nil {
		return err
	}
	bar := newProgress(t.err)
	var printed error
	checked, err := i.Check(ctx, func(p maintenance.Problem) {
		if c.JSON {
			printed = errors.Join(printed, printJSON(t.out, p))
			return
		}
		_, _ = fmt.Fprintln(t.out, p)
	}, bar.showKeys)
	bar.end()
	if err := errors.Join(err, printed, i.Close()); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(t.out, checked)
	} else {
		_, _ = fmt.Fprintf(t.out, "%s events in %s streams and %s links checked in %s: %s problems\n", thousands(checked.Events),
			thousands(checked.Streams), thousands(checked.Links), time.Since(bar.began).Round(time.Millisecond), thousands(checked.Problems))
	}
	if err == nil && checked.Problems > 0 {
		err = exit{1}
	}
	return err
}
