package persistent

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"slices"
)

// strategy chooses the consumer of a message, under the group's lock.
type strategy interface {
	join(*Consumer)
	leave(*Consumer)
	// choose returns a consumer with room; without one, whether another message might
	// find one.
	choose(*message) (c *Consumer, more bool)
	given(*message)
	released(*message) // its owner is still set
}

func newStrategy(name string) strategy {
	switch name {
	case Pinned:
		return &pinned{source: (*message).source}
	case PinnedByCorrelation:
		return &pinned{source: correlation}
	case DispatchToSingle:
		return &inTurn{stay: true}
	}
	return &inTurn{}
}

// inTurn gives a message to the next consumer or, if it stays, to the same one as long
// as that has room.
type inTurn struct {
	stay      bool
	consumers []*Consumer
	next      int
}

func (s *inTurn) join(c *Consumer) { s.consumers = append(s.consumers, c) }

func (s *inTurn) leave(c *Consumer) {
	i := slices.Index(s.consumers, c)
	s.consumers = slices.Delete(s.consumers, i, i+1)
	if i < s.next {
		s.next--
	}
}

func (s *inTurn) choose(*message) (*Consumer, bool) {
	for i := range s.consumers {
		at := (s.next + i) % len(s.consumers)
		if c := s.consumers[at]; c.free() {
			s.next = at
			if !s.stay {
				s.next++
			}
			return c, true
		}
	}
	return nil, false
}

func (*inTurn) given(*message)    {}
func (*inTurn) released(*message) {}

const bucketCount = 1024

// pinned keeps messages of one source with one consumer: sources are hashed to buckets,
// and buckets assigned to consumers.
type pinned struct {
	source  func(*message) string
	buckets [bucketCount]bucket
	members []*member
}

type member struct {
	consumer *Consumer
	buckets  int // assigned, or about to be
}

type bucket struct {
	owner    *member // nil: no one has it
	next     *member // takes over when nothing of the bucket is in flight; nil: no one
	inFlight int
}

// heir is the member that has the bucket in the end.
func (b *bucket) heir() *member {
	if b.next != nil {
		return b.next
	}
	return b.owner
}

// join assigns a fair share of the buckets in use to the new consumer, those first that
// have nothing in flight.
func (s *pinned) join(c *Consumer) {
	joined := &member{consumer: c}
	s.members = append(s.members, joined)
	assigned := 0
	for _, m := range s.members {
		assigned += m.buckets
	}
	share := (assigned + len(s.members) - 1) / len(s.members)
	byLoad := make([]*bucket, 0, assigned)
	for i := range s.buckets {
		if s.buckets[i].owner != nil {
			byLoad = append(byLoad, &s.buckets[i])
		}
	}
	slices.SortStableFunc(byLoad, func(a, b *bucket) int { return cmp.Compare(a.inFlight, b.inFlight) })
	for _, b := range byLoad {
		if from := b.heir(); from.buckets > share {
			from.buckets--
			joined.buckets++
			b.next = joined
		}
	}
}

func (s *pinned) leave(c *Consumer) {
	s.members = slices.DeleteFunc(s.members, func(m *member) bool { return m.consumer == c })
	for i := range s.buckets {
		b := &s.buckets[i]
		if b.next != nil && b.next.consumer == c {
			b.next = nil
			if b.owner.consumer != c {
				b.owner.buckets++
			}
		}
		if b.owner != nil && b.owner.consumer == c {
			b.owner, b.next, b.inFlight = b.next, nil, 0
		}
	}
}

func (s *pinned) choose(m *message) (*Consumer, bool) {
	if !slices.ContainsFunc(s.members, func(m *member) bool { return m.consumer.free() }) {
		return nil, false
	}
	if m.bucket < 0 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.source(m)))
		m.bucket = int(h.Sum32() % bucketCount)
	}
	b := &s.buckets[m.bucket]
	if b.next != nil && b.inFlight == 0 {
		b.owner, b.next = b.next, nil
	}
	if b.owner == nil {
		b.owner = slices.MinFunc(s.members, func(a, b *member) int { return cmp.Compare(a.buckets, b.buckets) })
		b.owner.buckets++
	}
	if b.next != nil || !b.owner.consumer.free() {
		return nil, true
	}
	return b.owner.consumer, true
}

func (s *pinned) given(m *message) { s.buckets[m.bucket].inFlight++ }

func (s *pinned) released(m *message) {
	if b := &s.buckets[m.bucket]; b.owner != nil && b.owner.consumer == m.owner {
		b.inFlight--
	}
}

// correlation is the event's $correlationId, else its stream.
func correlation(m *message) string {
	var metadata struct {
		ID *string `json:"$correlationId"`
	}
	if json.Unmarshal(m.subject().Metadata, &metadata) == nil && metadata.ID != nil {
		return *metadata.ID
	}
	return m.source()
}
