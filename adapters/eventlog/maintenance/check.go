package maintenance

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Problem is something that is not as it was written, or does not fit the rest.
type Problem struct {
	Stream   string          `json:"stream,omitempty"`   // empty: unknown, or of no stream
	Revision *event.Revision `json:"revision,omitempty"` // of the event, or of the link
	Position event.Position  `json:"position,omitempty"` // 0: unknown, or of no event
	What     string          `json:"what"`
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Stream != "" {
		fmt.Fprintf(&b, "stream %q ", p.Stream)
	}
	if p.Revision != nil {
		fmt.Fprintf(&b, "revision %d ", *p.Revision)
	}
	if p.Position > 0 {
		fmt.Fprintf(&b, "position %d ", p.Position)
	}
	if b.Len() == 0 {
		return p.What
	}
	return strings.TrimSuffix(b.String(), " ") + ": " + p.What
}

// Checked counts what a check has looked at.
type Checked struct {
	Events   uint64 `json:"events"`
	Streams  uint64 `json:"streams"`
	Links    uint64 `json:"links"`
	Problems uint64 `json:"problems"`
}

// maxCorruptHeld bounds the corrupt records that wait for their stream to be known.
const maxCorruptHeld = 1 << 16

// Check reads everything there is and holds each part against the others: every record,
// index entry, head and link by its checksum; every index entry, head and link against
// the record it leads to; and, unless that has shown already that none is missing, every
// record against what should lead to it. It reports every problem, and ends with an error
// only if it cannot go on.
func (i *Inspection) Check(ctx context.Context, report func(Problem), progress Progress) (Checked, error) {
	c := &checker{Inspection: i, ctx: ctx, report: report, progress: progress, total: i.entries(), held: map[event.Position]Problem{}}
	if i.lost != nil {
		c.found(Problem{What: i.lost.Error()})
	}
	for _, step := range []func() error{c.notes, c.records, c.indexes, c.rest, c.heads, c.limited, c.links, c.strangers, c.unled} {
		if err := step(); err != nil {
			return c.checked, err
		}
	}
	for path := range i.corrupt {
		c.found(Problem{What: "corrupt file " + path})
	}
	progress(max(c.done, c.total), c.total)
	return c.checked, nil
}

type checker struct {
	*Inspection
	ctx         context.Context
	report      func(Problem)
	progress    Progress
	done, total uint64
	checked     Checked

	held    map[event.Position]Problem // corrupt records, until an index entry names them
	indexed event.Position             // the first position not indexed for links
	entries uint64                     // of indexes
	linked  uint64                     // links that there should be to the records there are
}

func (c *checker) found(p Problem) {
	c.checked.Problems++
	c.report(p)
}

// each walks a space. What hinders it is a problem.
func (c *checker) each(space byte, visit func(key, value []byte) error) error {
	unreadable, err := c.walk(c.ctx, space, func(key, value []byte) error {
		if c.done++; c.done%progressKeys == 0 {
			c.progress(c.done, max(c.total, c.done))
		}
		return visit(key, value)
	})
	for _, u := range unreadable {
		c.found(Problem{What: fmt.Sprintf("a part of the keys %q cannot be read: %v", space, u)})
	}
	return err
}

// notes checks the log's own notes.
func (c *checker) notes() error {
	c.indexed = 1
	return c.each(layout.SpaceMeta, func(key, value []byte) error {
		switch {
		case bytes.Equal(key, layout.FormatKey):
			if err := layout.KnownFormat(value); err != nil {
				c.found(Problem{What: err.Error()})
			}
		case bytes.Equal(key, layout.IndexedKey):
			next, err := layout.DecodeIndexed(value)
			if err != nil {
				c.found(Problem{What: err.Error()})
				return nil
			}
			c.indexed = next
		default:
			c.found(Problem{What: fmt.Sprintf("unknown note %q", key[1:])})
		}
		return nil
	})
}

// records checks every record by itself.
func (c *checker) records() error {
	return c.each(layout.SpaceEvents, func(key, value []byte) error {
		rec, err := layout.DecodeRecord(key, value)
		if err != nil {
			p := Problem{Position: rec.Position, What: err.Error()}
			if len(c.held) < maxCorruptHeld {
				c.held[rec.Position] = p
			} else {
				c.found(p)
			}
			return nil
		}
		c.checked.Events++
		if rec.Position < c.indexed {
			c.linked += uint64(len(layout.LinkStreams(string(rec.Stream), string(rec.Typ))))
		}
		return nil
	})
}

// indexes follows every index entry to its record.
func (c *checker) indexes() error {
	var stream []byte
	var next event.Revision
	var last event.Position
	var h layout.Head
	return c.each(layout.SpaceStreams, func(key, value []byte) error {
		name, r, ok := layout.SplitName(key)
		if !ok {
			c.found(Problem{What: fmt.Sprintf("an index entry's key is not one: %q", key)})
			return nil
		}
		begins := !bytes.Equal(name, stream)
		if begins {
			stream, last, h = append(stream[:0], name...), 0, layout.Head{}
			c.checked.Streams++
			key := layout.AppendHeadKey(nil, string(stream))
			value, found, err := c.stored.Get(key)
			if err != nil || !found {
				c.found(Problem{Stream: string(stream), What: missing("its head", err)})
			} else {
				h, _ = layout.DecodeHead(key, value) // what is wrong with it is reported later
			}
			next = h.First // those before it were scavenged
		}
		c.entries++
		p, err := layout.DecodeIndex(key, value)
		if err != nil {
			c.found(Problem{Stream: string(stream), Revision: &r, What: err.Error()})
			next = r + 1
			return nil
		}
		if ends := h.Tombstoned && r == event.RevisionEnd && next == h.Next; r != next && !ends {
			c.found(Problem{Stream: string(stream), Revision: &next, What: fmt.Sprintf("no index entry; the next is of revision %d", r)})
		}
		if p <= last {
			c.found(Problem{Stream: string(stream), Revision: &r, Position: p, What: fmt.Sprintf("stands at or before position %d of the event before it", last)})
		}
		next, last = r+1, p
		c.follow(string(stream), r, p)
		return nil
	})
}

// follow holds an index entry against the record it leads to.
func (c *checker) follow(stream string, r event.Revision, p event.Position) {
	key := layout.AppendPositionKey(nil, p)
	value, found, err := c.stored.Get(key)
	what := missing("its record", err)
	if err == nil && found {
		switch rec, err := layout.DecodeRecord(key, value); {
		case err != nil:
			what = err.Error()
		case string(rec.Stream) != stream || rec.Revision != r:
			what = fmt.Sprintf("there stands revision %d of stream %q", rec.Revision, rec.Stream)
		default:
			return
		}
	}
	delete(c.held, p)
	c.found(Problem{Stream: stream, Revision: &r, Position: p, What: what})
}

// rest reports the corrupt records that no index entry named.
func (c *checker) rest() error {
	positions := make([]event.Position, 0, len(c.held))
	for p := range c.held {
		positions = append(positions, p)
	}
	slices.Sort(positions)
	for _, p := range positions {
		c.found(c.held[p])
	}
	return nil
}

// heads holds every head against the end of its stream's index.
func (c *checker) heads() error {
	streams := uint64(0)
	err := c.each(layout.SpaceHeads, func(key, value []byte) error {
		streams++
		stream := string(key[1:])
		h, err := layout.DecodeHead(key, value)
		if err != nil {
			c.found(Problem{Stream: stream, What: "its head does not have its checksum"})
			return nil
		}
		r := h.Next - 1
		if h.Tombstoned {
			r = event.RevisionEnd
		}
		if h.Tombstoned || h.First < h.Next || h.Known() == 0 { // else it has no event, or none any more
			last, found, err := c.stored.PositionAt(stream, r)
			switch {
			case err != nil || !found:
				c.found(Problem{Stream: stream, Revision: &r, Position: h.Last, What: missing("the index entry of its last event", err)})
			case last != h.Last:
				c.found(Problem{Stream: stream, Position: h.Last, What: fmt.Sprintf("its head names this position as its last, the index %d", last)})
			}
		}
		c.limits(stream, h)
		if _, found, err := c.stored.PositionAt(stream, h.Next); err != nil || found {
			c.found(Problem{Stream: stream, Revision: &h.Next, What: "its index goes on after the end that its head names"})
		}
		return nil
	})
	return err
}

// limits holds a head against the metadata that set its limits.
func (c *checker) limits(stream string, h layout.Head) {
	if h.LimitedAt == 0 || h.Tombstoned { // then the metadata are scavenged too
		return
	}
	key := layout.AppendPositionKey(nil, h.LimitedAt)
	value, found, err := c.stored.Get(key)
	if err == nil && !found && h.Limits.Deleted() {
		m, err := c.stored.Head(layout.MetadataOf(stream))
		if err == nil && m.Emptied() && m.Last == h.LimitedAt {
			return // scavenged; an import may have added to the stream since
		}
	}
	if err != nil || !found {
		c.found(Problem{Stream: stream, Position: h.LimitedAt, What: missing("the metadata event that its head names", err)})
		return
	}
	rec, err := layout.DecodeRecord(key, value)
	if err != nil {
		return // reported already
	}
	switch limits := rec.Limits(); {
	case string(rec.Stream) != layout.MetadataOf(stream):
		c.found(Problem{Stream: stream, Position: h.LimitedAt, What: fmt.Sprintf("its head names this position as its metadata's, there stands an event of stream %q", rec.Stream)})
	case rec.Revision != event.RevisionEnd && limits != h.Limits:
		c.found(Problem{Stream: stream, Position: h.LimitedAt, What: "its head does not have the limits that this metadata event sets"})
	}
}

// limited looks at the scavenger's notes.
func (c *checker) limited() error {
	return c.each(layout.SpaceLimited, func(key, value []byte) error {
		if !layout.Sealed(key, value) {
			c.found(Problem{Stream: string(key[1:]), What: "the scavenger's note of it does not have its checksum"})
		}
		return nil
	})
}

// links follows every link to its record.
func (c *checker) links() error {
	var name []byte
	var next uint64
	var last event.Position
	leading := uint64(0)
	err := c.each(layout.SpaceLinks, func(key, value []byte) error {
		c.checked.Links++
		of, r, ok := layout.SplitName(key)
		if !ok {
			c.found(Problem{What: fmt.Sprintf("a link's key is not one: %q", key)})
			return nil
		}
		if !bytes.Equal(of, name) {
			name, next, last = append(name[:0], of...), 0, 0
		}
		if uint64(r) != next {
			gap := event.Revision(next)
			c.found(Problem{Stream: string(name), Revision: &gap, What: fmt.Sprintf("no such link; the next is %d", r)})
		}
		next = uint64(r) + 1
		link, err := layout.DecodeLink(string(name), key, value)
		if err != nil {
			c.found(Problem{Stream: string(name), Revision: &r, What: err.Error()})
			return nil
		}
		if link.Position <= last || link.Position >= c.indexed {
			c.found(Problem{Stream: string(name), Revision: &r, Position: link.Position, What: "a link out of order, or to what is not indexed yet"})
		}
		last = link.Position
		rec, found, err := c.stored.Standing(link.Position)
		switch {
		case err != nil: // the record is reported already
			leading++
		case !found: // scavenged; what should not have been is reported at its index entry
		case string(link.Data) != fmt.Sprintf("%d@%s", rec.Revision, rec.Stream) || !slices.Contains(layout.LinkStreams(rec.Stream, rec.Type), string(name)):
			c.found(Problem{Stream: string(name), Revision: &r, Position: link.Position, What: "a link to another event than stands there"})
		default:
			leading++
		}
		return nil
	})
	if err == nil && leading < c.linked {
		c.found(Problem{What: fmt.Sprintf("%d links to categories and types are missing, of %d", c.linked-leading, c.linked)})
	}
	return err
}

// strangers looks for keys of no space.
func (c *checker) strangers() error {
	for space := range 256 {
		if strings.IndexByte(layout.Spaces, byte(space)) >= 0 {
			continue
		}
		err := c.each(byte(space), func(key, _ []byte) error {
			c.found(Problem{What: fmt.Sprintf("a key that is none of the log's: %q", key)})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// unled looks for records that no index entry leads to. If there are as many entries as
// records, and each led to one of its own, there are none.
func (c *checker) unled() error {
	if c.checked.Problems == 0 && c.entries == c.checked.Events {
		return nil
	}
	return c.each(layout.SpaceEvents, func(key, value []byte) error {
		rec, err := layout.DecodeRecord(key, value)
		if err != nil {
			return nil //nolint:nilerr // reported already
		}
		stream, r := string(rec.Stream), rec.Revision
		p, found, err := c.stored.PositionAt(stream, r)
		switch {
		case err != nil || !found:
			c.found(Problem{Stream: stream, Revision: &r, Position: rec.Position, What: missing("its index entry", err)})
		case p != rec.Position:
			c.found(Problem{Stream: stream, Revision: &r, Position: rec.Position, What: fmt.Sprintf("its index entry leads to position %d", p)})
		}
		return nil
	})
}

func missing(what string, err error) string {
	if err != nil {
		return what + " cannot be read: " + err.Error()
	}
	return what + " is missing"
}
