package deadlines

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"recapito/domain/deadline"
	"recapito/domain/event"
)

// key is a bucket: a minute (Unix time / 60) of a shard.
type key struct {
	minute int64
	shard  int
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func keyOf(b deadline.Bucket) key { return key{minuteOf(b.Minute), b.Shard} }

func (k key) stream() string {
	return deadline.Bucket{Minute: time.Unix(k.minute*60, 0).UTC(), Shard: k.shard}.Stream()
}

// item is a deadline and where it stands.
type item struct {
	deadline.DeadlineSet
	bucket   key
	revision event.Revision
	position event.Position // of the last of the twins
	twins    []place        // equal deadlines that are fired with it
}

// place is where a deadline stands.
type place struct {
	bucket   key
	revision event.Revision
}

// moment is what makes deadlines equal: firing one is firing all.
type moment struct {
	atUnixMilli  int64
	notification string
	attempt      int
}

func (a item) place() place { return place{a.bucket, a.revision} }

func (a item) moment() moment { return moment{a.At.UnixMilli(), a.Notification, a.Attempt} }

// equals are the deadlines that wait together with the first of them, which is in the
// heap.
type equals struct {
	twins    []place
	position event.Position // of the last of all
	watch    bool           // one of them is not given back: then they fire as that
}

func (a item) compare(b item) int {
	return cmp.Or(a.At.Compare(b.At), a.bucket.compare(b.bucket), cmp.Compare(a.revision, b.revision))
}

// bucket is what the schedule knows of one that it has read.
type bucket struct {
	open  map[event.Revision]bool // held and not done
	upTo  *item                   // more follow after this one: the slice was full
	last  event.Expected          // of the stream, as far as seen
	wrote bool                    // the stream exists
	first event.Position          // of those shown live; a later start must be shown them again
	live  bool                    // first holds
	// reading: its stream is being read, so what is set meanwhile may not be in what is
	// read: it is held, and the bucket cannot be closed.
	reading bool
}

// schedule knows what to fire next. It has no clock; its caller locks it.
type schedule struct {
	limit   int
	oldest  int64 // every bucket before this minute is closed or was never written
	next    key   // the first bucket not read yet
	buckets map[key]*bucket
	heap    itemHeap
	waiting map[moment]*equals
	inHand  map[place]time.Time // when those were due that are being fired
}

func newSchedule(oldest int64, limit int) *schedule {
	return &schedule{
		limit: limit, oldest: oldest, next: key{oldest, 0}, buckets: map[key]*bucket{}, waiting: map[moment]*equals{},
		inHand: map[place]time.Time{},
	}
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.minute, o.minute), cmp.Compare(k.shard, o.shard))
}

func (k key) before(o key) bool { return k.compare(o) < 0 }

func (k key) following() key {
	if k.shard+1 < Shards {
		return key{k.minute, k.shard + 1}
	}
	return key{k.minute + 1, 0}
}

// wanted returns a bucket to read now: the first not read yet up to that minute, or
// one whose slice is used up. after is the last item of its earlier slices. After a long
// stop, passed buckets are read only as fast as what they hold is fired.
func (s *schedule) wanted(now, upTo int64) (k key, after *item, ok bool) {
	if s.next.minute <= upTo && (s.next.minute >= now || s.held() < s.limit) {
		k = s.next
		s.next = k.following()
		s.bucket(k).reading = true
		return k, nil, true
	}
	for k, b := range s.buckets {
		if b.usedUp() {
			b.reading = true
			return k, b.upTo, true
		}
	}
	return key{}, nil, false
}

// usedUp reports whether all that is held of a bucket was fired, and that more follows.
func (b *bucket) usedUp() bool { return b.upTo != nil && len(b.open) == 0 && !b.reading }

// held is how many deadlines are in memory.
func (s *schedule) held() int {
	n := 0
	for _, b := range s.buckets {
		n += len(b.open)
	}
	return n
}

// loaded takes what was read of a bucket.
func (s *schedule) loaded(k key, sl *slice, last event.Expected, closed bool) {
	b := s.bucket(k)
	b.reading, b.upTo = false, nil
	if closed || last.IsNoStream() && !b.wrote {
		delete(s.buckets, k)
		return
	}
	b.last, b.wrote = later(b.last, last), true
	if sl.full {
		b.upTo = &sl.items[len(sl.items)-1]
	}
	for _, it := range sl.items {
		s.push(b, it)
	}
	s.shrink(k, b)
}

func later(a, b event.Expected) event.Expected {
	ra, oka := a.Exactly()
	rb, okb := b.Exactly()
	if oka && (!okb || ra > rb) {
		return a
	}
	return b
}

func (s *schedule) bucket(k key) *bucket {
	b := s.buckets[k]
	if b == nil {
		b = &bucket{open: map[event.Revision]bool{}, last: event.NoStream()}
		s.buckets[k] = b
	}
	return b
}

func (s *schedule) push(b *bucket, it item) {
	if _, held := b.open[it.revision]; held {
		return
	}
	b.open[it.revision] = true
	if same := s.waiting[it.moment()]; same != nil {
		same.twins = append(same.twins, place{it.bucket, it.revision})
		same.watch = same.watch || !it.GivenBack
		same.position = max(same.position, it.position)
		return
	}
	s.waiting[it.moment()] = &equals{watch: !it.GivenBack, position: it.position}
	heap.Push(&s.heap, it)
}

// add takes an item set live, at a position of $all. If its bucket's turn has not come
// it will be found there; if it lies beyond the slice held, in the next one.
func (s *schedule) add(it item, at event.Position) {
	if !it.bucket.before(s.next) {
		return
	}
	b := s.bucket(it.bucket)
	b.wrote, b.last = true, later(b.last, event.Exact(it.revision))
	if !b.live || at < b.first {
		b.first, b.live = at, true
	}
	if b.upTo != nil && !b.reading && it.compare(*b.upTo) > 0 {
		return
	}
	s.push(b, it)
	s.shrink(it.bucket, b)
}

// passed records an event of a bucket that is no deadline.
func (s *schedule) passed(k key, revision event.Revision) {
	if !k.before(s.next) {
		return
	}
	b := s.bucket(k)
	b.wrote, b.last = true, later(b.last, event.Exact(revision))
}

// shrink gives up the later part of a bucket of which too much is held: it is read
// again when the earlier part is used up. Equal times stay together.
func (s *schedule) shrink(k key, b *bucket) {
	if b.reading || len(b.open) <= 2*s.limit {
		return
	}
	var own []item
	for _, it := range s.heap {
		if it.bucket == k {
			own = append(own, it)
		}
	}
	if len(own) <= s.limit { // what is open is being fired
		return
	}
	slices.SortFunc(own, item.compare)
	last := own[s.limit-1].At
	b.upTo = &item{DeadlineSet: deadline.DeadlineSet{At: last}, bucket: k, revision: event.RevisionEnd}
	kept := make(itemHeap, 0, len(s.heap))
	for _, it := range s.heap {
		if it.bucket != k || !it.At.After(last) {
			kept = append(kept, it)
			continue
		}
		same := s.waiting[it.moment()]
		delete(s.waiting, it.moment())
		delete(b.open, it.revision)
		for _, p := range same.twins {
			if p.bucket == k {
				delete(b.open, p.revision)
				continue
			}
			// It stands in another bucket, too, and fires from there.
			if again := s.waiting[it.moment()]; again != nil {
				again.twins = append(again.twins, p)
				continue
			}
			s.waiting[it.moment()] = &equals{watch: same.watch, position: same.position}
			kept = append(kept, item{DeadlineSet: it.DeadlineSet, bucket: p.bucket, revision: p.revision})
		}
	}
	s.heap = kept
	heap.Init(&s.heap)
}

// pop returns the next item that is due.
func (s *schedule) pop(now time.Time) (item, bool) {
	if len(s.heap) == 0 || s.heap[0].At.After(now) {
		return item{}, false
	}
	it := heap.Pop(&s.heap).(item) //nolint:forcetypeassert // the heap holds items
	same := s.waiting[it.moment()]
	delete(s.waiting, it.moment())
	it.twins, it.GivenBack, it.position = same.twins, !same.watch, same.position
	s.inHand[it.place()] = it.At
	return it, true
}

// wait is how long nothing is due.
func (s *schedule) wait(now time.Time) time.Duration {
	if len(s.heap) == 0 {
		return maxSleep
	}
	return max(s.heap[0].At.Sub(now), 0)
}

func (s *schedule) done(it item) {
	delete(s.inHand, it.place())
	for _, p := range append(it.twins, it.place()) {
		if b := s.buckets[p.bucket]; b != nil {
			delete(b.open, p.revision)
		}
	}
}

// firedBefore returns the time before which everything known is done; nil while passed
// buckets are still to be read.
func (s *schedule) firedBefore(now time.Time) *time.Time {
	if s.next.minute <= minuteOf(now) {
		return nil
	}
	at := now
	if len(s.heap) > 0 {
		at = earlier(at, s.heap[0].At)
	}
	for _, due := range s.inHand {
		at = earlier(at, due)
	}
	for _, b := range s.buckets {
		if b.upTo != nil {
			at = earlier(at, b.upTo.At)
		}
	}
	return &at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (s *schedule) mayClose(k key, now int64) bool {
	b := s.buckets[k]
	return b != nil && b.wrote && !b.reading && k.minute < now && len(b.open) == 0 && b.upTo == nil
}

// wants reports whether there is something to read or to close, now that one of a bucket
// is done.
func (s *schedule) wants(k key, now int64) bool {
	b := s.buckets[k]
	return s.mayClose(k, now) || b != nil && b.usedUp() || s.next.minute < now && s.held() < s.limit
}

// closable lists the buckets whose minute has passed and that hold nothing any more.
func (s *schedule) closable(now int64) []key {
	var keys []key
	for k := range s.buckets {
		if s.mayClose(k, now) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, key.compare)
	return keys
}

// closed forgets a bucket.
func (s *schedule) closed(k key) { delete(s.buckets, k) }

// advance returns the oldest minute that is not completely closed: nothing before it is
// ever read again.
func (s *schedule) advance(now int64) int64 {
	oldest := min(s.next.minute, now)
	for k := range s.buckets {
		oldest = min(oldest, k.minute)
	}
	s.oldest = max(s.oldest, oldest)
	return s.oldest
}

// after returns the position from which a later start must be shown what was set,
// given that everything up to seen was shown: what stands in a bucket that such a start
// does not read, and is not done, lies behind it.
func (s *schedule) after(seen *event.Position) *event.Position {
	for k, b := range s.buckets {
		if k.minute >= s.oldest || !b.live || seen == nil || *seen < b.first {
			continue
		}
		if b.first == 0 {
			return nil
		}
		before := b.first - 1
		seen = &before
	}
	return seen
}

// slice keeps the smallest items of a bucket after a given one.
type slice struct {
	limit int
	after *item
	items []item // sorted once full or read
	full  bool
}

func newSlice(limit int, after *item) *slice { return &slice{limit: limit, after: after} }

func (s *slice) offer(it item) {
	if s.after != nil && it.compare(*s.after) <= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(s.items, it, item.compare)
	if at == s.limit {
		s.full = true
		return
	}
	s.items = slices.Insert(s.items, at, it)
	if len(s.items) > s.limit {
		s.items, s.full = s.items[:s.limit], true
	}
}

type itemHeap []item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].compare(h[j]) < 0 }
func (h itemHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *itemHeap) Push(x any)        { *h = append(*h, x.(item)) } //nolint:forcetypeassert // container/heap
func (h *itemHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	*h = old[:len(old)-1]
	return it
}
