package maintenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Stats is what a log holds and the room it takes.
type Stats struct {
	Events  uint64 `json:"events"`
	Streams uint64 `json:"streams"` // with events that are still there, or were
	// Categories, the largest first, at most maxCategories of them; those beyond are
	// one, without a name.
	Categories []Category `json:"categories"`
	First      *Place     `json:"first,omitempty"`
	Last       *Place     `json:"last,omitempty"`
	DiskBytes  uint64     `json:"disk_bytes"`
	EventBytes float64    `json:"disk_bytes_per_event"`
	Levels     []Level    `json:"levels"`
	LogBytes   uint64     `json:"write_ahead_log_bytes"`
}

// Category is the streams whose names begin with the same word before a '-'; those
// without one are by themselves, and so are the store's own.
type Category struct {
	Name    string `json:"name"`
	Streams uint64 `json:"streams"`
	Events  uint64 `json:"events"` // ever appended, also those that a scavenge has removed
}

// Place is where an event stands, and since when.
type Place struct {
	Position event.Position `json:"position"`
	Created  time.Time      `json:"created"`
}

// Level is a level of Pebble's tree.
type Level struct {
	Level  int    `json:"level"`
	Tables uint64 `json:"tables"`
	Bytes  uint64 `json:"bytes"`
}

const maxCategories = 1000

// Stats counts. It reads every key once, and no event but the first and the last.
func (i *Inspection) Stats(ctx context.Context, progress Progress) (Stats, error) {
	var s Stats
	done, total := uint64(0), i.entries()
	count := func() {
		if done++; done%progressKeys == 0 {
			progress(done, max(done, total))
		}
	}
	var last event.Position
	err := i.keys(ctx, layout.SpaceEvents, func(key []byte) error {
		count()
		s.Events++
		last = layout.PositionOf(key)
		if s.Events == 1 {
			return i.place(last, &s.First)
		}
		return nil
	})
	if err == nil && s.Events > 0 {
		err = i.place(last, &s.Last)
	}
	if err != nil {
		return s, fmt.Errorf("count the events: %w", err)
	}
	categories := map[string]*Category{}
	unreadable, err := i.walk(ctx, layout.SpaceHeads, func(key, value []byte) error {
		count()
		h, err := layout.DecodeHead(key, value)
		if err != nil || !h.Exists() {
			return err
		}
		s.Streams++
		name := categoryOf(string(key[1:]))
		c := categories[name]
		if c == nil {
			if len(categories) >= maxCategories {
				name = ""
			}
			if c = categories[name]; c == nil {
				c = &Category{Name: name}
				categories[name] = c
			}
		}
		c.Streams++
		c.Events += uint64(h.Next)
		return nil
	})
	if err = errors.Join(append(unreadable, err)...); err != nil {
		return s, fmt.Errorf("count the streams: %w", err)
	}
	for _, c := range categories {
		s.Categories = append(s.Categories, *c)
	}
	slices.SortFunc(s.Categories, func(a, b Category) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Name, b.Name))
	})
	progress(max(done, total), total)
	return s, i.disk(&s)
}

// keys visits the keys of a space without reading values.
func (i *Inspection) keys(ctx context.Context, space byte, visit func(key []byte) error) error {
	it, err := i.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return fmt.Errorf("look at the keys: %w", err)
	}
	defer it.Close()
	n := 0
	for valid := it.First(); valid; valid = it.Next() {
		if n++; n%progressKeys == 0 && ctx.Err() != nil {
			return fmt.Errorf("look at the keys: %w", context.Cause(ctx))
		}
		if err := visit(it.Key()); err != nil {
			return err
		}
	}
	return it.Error()
}

// categoryOf is what stands before the first '-' of a name.
func categoryOf(stream string) string {
	name, _, _ := strings.Cut(stream, "-")
	return name
}

func (i *Inspection) place(p event.Position, at **Place) error {
	e, _, err := i.stored.Standing(p)
	*at = &Place{Position: p, Created: e.Created}
	return err
}

// disk sums up the files, level by level.
func (i *Inspection) disk(s *Stats) error {
	names, err := i.fs.List(i.dir)
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	for _, name := range names {
		info, err := i.fs.Stat(i.fs.PathJoin(i.dir, name))
		if err != nil {
			return fmt.Errorf("list the files: %w", err)
		}
		size := uint64(max(info.Size(), 0))
		s.DiskBytes += size
		if strings.HasSuffix(name, ".log") {
			s.LogBytes += size
		}
	}
	if s.Events > 0 {
		s.EventBytes = float64(s.DiskBytes) / float64(s.Events)
	}
	for n, l := range i.db.Metrics().Levels {
		if l.TablesCount > 0 {
			s.Levels = append(s.Levels, Level{Level: n, Tables: uint64(l.TablesCount), Bytes: uint64(l.TablesSize)})
		}
	}
	return nil
}
