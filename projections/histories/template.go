package histories

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/domain/notification"
)

// What stands in a story for what each history made of it has of its own.
const (
	markID          = "1d000000-0000-5000-8000-000000000001"
	markPerson      = "1d000000-0000-5000-8000-000000000002"
	markKey         = "1d000000-0000-5000-8000-000000000003"
	markIdempotency = "idempotency-key-0001"
	markReference   = "00reference0"
)

// template is a story with holes.
type template struct {
	tenant  string
	keyed   bool // its id is derived from an idempotency key
	appends []appendTemplate
	events  int
}

type appendTemplate struct {
	after  int64 // µs since the request
	stream text
	first  event.Revision
	events []eventTemplate
}

type eventTemplate struct {
	id             uint32 // hole
	typ            string
	data, metadata text
}

// text is bytes and the holes in them, by place.
type text struct {
	bytes []byte
	holes []hole
}

type hole struct {
	at, size int
	kind     holeKind
	number   uint32 // of noise: the same number is filled alike all over a history
	after    int64  // of times: µs since the request
}

type holeKind uint8

const (
	holeID holeKind = iota
	holePerson
	holeKey
	holeIdempotency
	holeReference
	holeUUID
	holeHex
	holeBase64
	holeTime
	holeDay
)

// All times are written in this form, in quotes.
const timeForm = "2006-01-02T15:04:05.000000Z"

var (
	timeText   = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`)
	sealedText = regexp.MustCompile(`"(?:nonce|ciphertext|commitment|request_hmac)":"([A-Za-z0-9+/]{4,}?[A-Za-z0-9+/=]{4})"`)
	dayMember  = []byte(`"day":"`)
	base64Tail = 4 // the last letters stay as they are: they hold the padding
	uuidLength = len(markID)
)

// newTemplate plays a story and finds its holes.
func newTemplate(codec *event.Codec, seed, number uint64) (*template, error) {
	appends, s, err := play(codec, seed, number)
	if err != nil {
		return nil, fmt.Errorf("playing story %d: %w", number, err)
	}
	t := &template{tenant: s.tenant, keyed: s.n.Requested.IdempotencyKey != ""}
	c := compiler{marks: map[string]hole{
		markID: {kind: holeID}, markPerson: {kind: holePerson}, markKey: {kind: holeKey},
		markIdempotency: {kind: holeIdempotency}, markReference: {kind: holeReference},
	}}
	for i, mark := range s.marks {
		kind := holeHex
		if len(mark) == uuidLength {
			kind = holeUUID
		}
		c.marks[mark] = hole{kind: kind, number: uint32(i)}
	}
	c.next = uint32(len(s.marks))
	for _, w := range appends {
		a := appendTemplate{after: w.at.Sub(begins).Microseconds(), first: w.first}
		if a.stream, err = c.compile([]byte(w.stream), time.Time{}); err != nil {
			return nil, err
		}
		for _, e := range w.events {
			one := eventTemplate{id: c.marks[e.id].number, typ: e.typ}
			if one.data, err = c.compile(e.data, e.due); err != nil {
				return nil, err
			}
			if one.metadata, err = c.compile(e.metadata, time.Time{}); err != nil {
				return nil, err
			}
			a.events = append(a.events, one)
			t.events++
		}
		t.appends = append(t.appends, a)
	}
	return t, nil
}

type compiler struct {
	marks map[string]hole
	next  uint32 // number of the next noise
}

func (c *compiler) compile(raw []byte, due time.Time) (text, error) {
	var failed error
	raw = timeText.ReplaceAllFunc(raw, func(quoted []byte) []byte {
		at, err := time.Parse(time.RFC3339Nano, string(quoted[1:len(quoted)-1]))
		if err != nil {
			failed = err
		}
		return []byte(at.Format(`"` + timeForm + `"`))
	})
	if failed != nil {
		return text{}, fmt.Errorf("reading a time of a story: %w", failed)
	}
	x := text{bytes: raw}
	for _, place := range timeText.FindAllIndex(raw, -1) {
		at, _ := time.Parse(timeForm, string(raw[place[0]+1:place[1]-1]))
		x.holes = append(x.holes, hole{at: place[0] + 1, size: len(timeForm), kind: holeTime, after: at.Sub(begins).Microseconds()})
	}
	for _, place := range sealedText.FindAllSubmatchIndex(raw, -1) {
		x.holes = append(x.holes, hole{at: place[2], size: place[3] - place[2] - base64Tail, kind: holeBase64, number: c.next})
		c.next++
	}
	if at := bytes.Index(raw, dayMember); at >= 0 && !due.IsZero() {
		x.holes = append(x.holes, hole{at: at + len(dayMember), size: len(time.DateOnly), kind: holeDay, after: due.Sub(begins).Microseconds()})
	}
	all := string(raw)
	for mark, h := range c.marks {
		for at := 0; ; at += len(mark) {
			found := strings.Index(all[at:], mark)
			if found < 0 {
				break
			}
			at += found
			h.at, h.size = at, len(mark)
			x.holes = append(x.holes, h)
		}
	}
	slices.SortFunc(x.holes, func(a, b hole) int { return a.at - b.at })
	for i := 1; i < len(x.holes); i++ {
		if x.holes[i-1].at+x.holes[i-1].size > x.holes[i].at {
			return text{}, fmt.Errorf("two holes overlap in %s…", notification.StreamPrefix)
		}
	}
	return x, nil
}
