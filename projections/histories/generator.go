package histories

import (
	"container/heap"
	"fmt"
	"math"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
)

// Options of a generator.
type Options struct {
	Codec *event.Codec // of every ledger event
	Seed  uint64
	// From is when the first history begins (zero: 1 November 2026), Every how long
	// after the one before the next one does on average (0: a second). By night it is
	// longer, by day shorter.
	From  time.Time
	Every time.Duration
	// Stories is how many different ones there are (0: 400), Persons how many persons a
	// tenant has (0: 20,000).
	Stories int
	Persons uint64
}

// Append is what one command decided.
type Append struct {
	Stream string
	First  event.Revision // of the events' first
	At     time.Time      // recorded_at of each
	Events []event.New
}

// Expected is what the append expects of its stream.
func (a Append) Expected() event.Expected {
	if a.First == 0 {
		return event.NoStream()
	}
	return event.Exact(a.First - 1)
}

// Generator makes histories without end. It is not safe for concurrent use.
type Generator struct {
	options   Options
	templates []*template
	started   uint64 // histories
	next      int64  // when the next history begins, µs since the epoch
	open      histories
	daily     [24]float64 // how long the pause between two histories is by the hour
}

const (
	defaultStories = 400
	defaultPersons = 20_000
)

// New makes a generator. It errs only if the domain decides otherwise than it did.
func New(o Options) (*Generator, error) {
	if o.From.IsZero() {
		o.From = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Stories <= 0 {
		o.Stories = defaultStories
	}
	if o.Persons == 0 {
		o.Persons = defaultPersons
	}
	g := &Generator{options: o, next: o.From.UnixMicro()}
	for n := range o.Stories {
		t, err := newTemplate(o.Codec, o.Seed, uint64(n))
		if err != nil {
			return nil, fmt.Errorf("making a history: %w", err)
		}
		g.templates = append(g.templates, t)
	}
	for hour := range g.daily { // nine times as many at three in the afternoon as at three in the morning
		g.daily[hour] = 1 / (1 - 0.8*math.Cos(float64(hour-3)*math.Pi/12))
	}
	return g, nil
}

// history is one notification on its way.
type history struct {
	*template
	seed   uint64
	began  int64 // µs since the epoch
	step   int
	due    int64 // when the next append is
	order  uint64
	id     string
	person string
	key    string
	idem   string
	ref    string
}

// Next returns the next append.
func (g *Generator) Next() Append {
	for len(g.open) == 0 || g.next <= g.open[0].due {
		g.begin()
	}
	h := g.open[0]
	t := &h.appends[h.step]
	a := Append{
		Stream: string(h.fill(nil, &t.stream)), First: t.first, At: time.UnixMicro(h.due).UTC(), Events: make([]event.New, len(t.events)),
	}
	for i := range t.events {
		e := &t.events[i]
		both := h.fill(make([]byte, 0, len(e.data.bytes)+len(e.metadata.bytes)), &e.data)
		data := len(both)
		both = h.fill(both, &e.metadata)
		var id [36]byte
		writeUUID(id[:], h.noise(e.id), h.noise(^e.id))
		a.Events[i] = event.New{ID: string(id[:]), Type: e.typ, Data: both[:data:data], Metadata: both[data:]}
	}
	if h.step++; h.step < len(h.appends) {
		h.due = h.began + h.appends[h.step].after
		heap.Fix(&g.open, 0)
	} else {
		heap.Pop(&g.open)
	}
	return a
}

// begin begins a history.
func (g *Generator) begin() {
	n := g.started
	g.started++
	seed := mix(g.options.Seed ^ mix(n+1))
	h := &history{template: g.templates[mix(seed)%uint64(len(g.templates))], seed: seed, began: g.next, due: g.next, order: n}
	// A few persons get most of the messages.
	share := float64(mix(seed+1)>>11) / (1 << 53)
	person := mix(uint64(share*share*float64(g.options.Persons)) ^ mix(uint64(len(h.tenant))<<8|uint64(h.tenant[0])))
	h.person, h.key = uuidOf(mix(person)), uuidOf(mix(person+1))
	h.idem = "key-" + hexOf(h.seed+2)
	h.ref = hexOf(h.seed + 3)[:len(markReference)]
	if h.keyed {
		h.id = notification.IDFor(h.tenant, h.idem)
	} else {
		h.id = uuidV7(h.began/1000, mix(seed+4), mix(seed+5))
	}
	heap.Push(&g.open, h)
	hour := g.next / time.Hour.Microseconds() % 24
	jitter := 0.5 + float64(mix(seed+6)>>11)/(1<<53)
	g.next += max(int64(float64(g.options.Every.Microseconds())*g.daily[hour]*jitter), 1)
}

// fill appends a text to b, its holes filled.
func (h *history) fill(b []byte, t *text) []byte {
	base := len(b)
	b = append(b, t.bytes...)
	for i := range t.holes {
		o := &t.holes[i]
		at := b[base+o.at : base+o.at+o.size]
		switch o.kind {
		case holeID:
			copy(at, h.id)
		case holePerson:
			copy(at, h.person)
		case holeKey:
			copy(at, h.key)
		case holeIdempotency:
			copy(at, h.idem)
		case holeReference:
			copy(at, h.ref)
		case holeUUID:
			writeUUID(at, h.noise(o.number), h.noise(^o.number))
		case holeHex:
			writeNoise(at, h.noise(o.number), hexLetters, 4)
		case holeBase64:
			writeNoise(at, h.noise(o.number), base64Letters, 6)
		case holeTime:
			writeTime(at, h.began+o.after)
		case holeDay:
			writeDay(at, h.began+o.after)
		}
	}
	return b
}

func (h *history) noise(number uint32) uint64 { return mix(h.seed ^ uint64(number)<<32) }

// mix is SplitMix64's: neighbours become unlike.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

const (
	hexLetters    = "0123456789abcdef"
	base64Letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
)

// writeNoise fills b with letters, each of so many bits.
func writeNoise(b []byte, seed uint64, letters string, bits int) {
	mask := uint64(1)<<bits - 1
	word, left := mix(seed), 64/bits
	for i := range b {
		if left == 0 {
			seed++
			word, left = mix(seed), 64/bits
		}
		b[i] = letters[word&mask]
		word >>= bits
		left--
	}
}

func writeUUID(b []byte, high, low uint64) {
	high = high&^uint64(0xf000) | 0x5000
	low = low&^(uint64(3)<<62) | 1<<63
	for i := 15; i >= 0; i-- {
		b[19+i+boolInt(i >= 4)] = hexLetters[low&15]
		low >>= 4
		b[i+boolInt(i >= 8)+boolInt(i >= 12)] = hexLetters[high&15]
		high >>= 4
	}
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func uuidOf(seed uint64) string {
	var b [36]byte
	writeUUID(b[:], mix(seed), mix(^seed))
	return string(b[:])
}

func uuidV7(ms int64, high, low uint64) string {
	var b [36]byte
	writeUUID(b[:], uint64(ms)<<16|high&0xfff, low)
	b[14] = '7'
	return string(b[:])
}

func hexOf(seed uint64) string {
	const digits = 16
	var b [digits]byte
	writeNoise(b[:], seed, hexLetters, 4)
	return string(b[:])
}

func writeTime(b []byte, at int64) {
	writeDay(b, at)
	micros := at % (24 * time.Hour).Microseconds()
	b[10], b[13], b[16], b[19], b[26] = 'T', ':', ':', '.', 'Z'
	writeNumber(b[20:26], micros%1_000_000)
	seconds := micros / 1_000_000
	writeNumber(b[17:19], seconds%60)
	writeNumber(b[14:16], seconds/60%60)
	writeNumber(b[11:13], seconds/3600)
}

func writeNumber(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

func writeDay(b []byte, at int64) {
	year, month, day := time.UnixMicro(at).UTC().Date()
	writeNumber(b[:4], int64(year))
	writeNumber(b[5:7], int64(month))
	writeNumber(b[8:10], int64(day))
	b[4], b[7] = '-', '-'
}

// histories are ordered by when their next append is.
type histories []*history

func (h histories) Len() int { return len(h) }
func (h histories) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].order < h[j].order
}
func (h histories) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *histories) Push(x any)   { *h = append(*h, x.(*history)) }
func (h *histories) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
