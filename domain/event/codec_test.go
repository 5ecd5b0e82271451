package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/event"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
)

type channel string

type common struct {
	Attempt int     `json:"attempt"`
	Route   string  `json:"route,omitempty"`
	Channel channel `json:"channel,omitempty"`
}

type part struct {
	Number int            `json:"number"`
	Text   personal.Value `json:"text,omitzero"`
}

type rich struct {
	common
	At      time.Time                   `json:"at"`
	To      personal.Value              `json:"to"`
	Name    *personal.Value             `json:"name,omitempty"`
	Nothing personal.Value              `json:"nothing,omitzero"`
	Fields  map[string]personal.Value   `json:"fields,omitempty"`
	ByList  map[string][]personal.Value `json:"by_list,omitempty"`
	Parts   []part                      `json:"parts,omitempty"`
	Last    *part                       `json:"last,omitempty"`
	Two     [2]personal.Value           `json:"two,omitzero"`
	Plain   map[string]string           `json:"plain,omitempty"`
	Codes   []int                       `json:"codes"`
	Raw     []byte                      `json:"raw,omitempty"`
	Rate    float64                     `json:"rate,omitempty"`
	Ok      bool                        `json:"ok"`
	Hidden  string                      `json:"-"`
}

type bare struct {
	Code string `json:"code" doc:"why"`
	N    uint64 `json:"n"`
}

var anna = personal.Ref{Person: "p-1", Key: "k-1"}

func richEvent() rich {
	name := personal.New(anna, "Anna \"<Ü>\"")
	return rich{
		common: common{Attempt: 2, Channel: "sms"},
		At:     time.Date(2026, 12, 1, 9, 30, 0, 123000000, time.UTC),
		To:     personal.New(anna, "+393331234567"),
		Name:   &name,
		Fields: map[string]personal.Value{"day": personal.New(anna, "2027-01-02"), "a/b~c": personal.New(anna, ""), "x": personal.Erased(anna)},
		ByList: map[string][]personal.Value{"sms": {personal.New(anna, "1"), personal.New(anna, "2")}},
		Parts:  []part{{Number: 1, Text: personal.New(anna, "one")}, {Number: 2}},
		Last:   &part{Number: 9, Text: personal.New(anna, "nine")},
		Plain:  map[string]string{"b": "<2>", "a": "1"},
		Rate:   0.5,
		Raw:    []byte{1, 2},
		Ok:     true,
	}
}

func codec(t testing.TB, defs ...event.Definition) *event.Codec {
	t.Helper()
	if len(defs) == 0 {
		defs = []event.Definition{event.Define[rich]("Rich"), event.Define[bare]("Bare", event.Doc("Bare says so."))}
	}
	c, err := event.NewCodec(defs...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(t *testing.T, c *event.Codec, s personal.Sealer, stream string, e any) event.Recorded {
	t.Helper()
	name, data, err := c.Encode(t.Context(), s, "acme", stream, e)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) {
		t.Fatalf("not JSON: %s", data)
	}
	return event.Recorded{Stream: stream, Type: name, Data: data}
}

func TestEventComesBackAsItWas(t *testing.T) {
	c := codec(t)
	in := richEvent()
	r := encode(t, c, personaltest.Sealer{}, "notification-1", in)
	if diff := cmp.Diff(richEvent(), in, cmp.AllowUnexported(rich{})); diff != "" {
		t.Errorf("encoding changed the caller's event:\n%s", diff)
	}
	out, err := c.Decode(t.Context(), personaltest.Sealer{}, "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(in), out, cmp.AllowUnexported(rich{})); diff != "" {
		t.Error(diff)
	}
	for _, clear := range []string{"+393331234567", "Anna", "2027-01-02", "nine"} {
		if strings.Contains(string(r.Data), clear) {
			t.Error("a personal value stands in clear in the event's data")
		}
	}
}

// The walk must write what encoding/json would, values apart: their masks.
func TestWalkWritesAsEncodingJSONDoes(t *testing.T) {
	c := codec(t)
	r := encode(t, c, personaltest.Sealer{}, "s", richEvent())
	var got, want map[string]any
	plain, err := json.Marshal(richEvent())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(r.Data, &got), json.Unmarshal(plain, &want)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, masked(got)); diff != "" {
		t.Error(diff)
	}
}

func masked(node any) any {
	switch n := node.(type) {
	case map[string]any:
		if n["erased"] == true {
			return "[erased]"
		}
		if n["ciphertext"] != nil {
			return "[personal]"
		}
		for k := range n {
			n[k] = masked(n[k])
		}
	case []any:
		for i := range n {
			n[i] = masked(n[i])
		}
	}
	return node
}

func TestPlacesOfValuesAreTheirAssociatedData(t *testing.T) {
	s := &recordingSealer{}
	encode(t, codec(t), s, "notification-1", richEvent())
	want := []string{"/to", "/name", "/fields/a~1b~0c", "/fields/day", "/by_list/sms/0", "/by_list/sms/1", "/parts/0/text", "/last/text"}
	for i := range want {
		want[i] = "notification-1\n" + want[i]
	}
	if diff := cmp.Diff(want, s.places); diff != "" {
		t.Error(diff)
	}
}

type recordingSealer struct {
	personaltest.Sealer
	places []string
}

func (s *recordingSealer) Seal(ctx context.Context, tenant string, ref personal.Ref, associated, clear []byte) (personal.Sealed, error) {
	s.places = append(s.places, string(associated))
	return s.Sealer.Seal(ctx, tenant, ref, associated, clear)
}

func TestValueMovedInTheStoreIsRefused(t *testing.T) {
	c := codec(t)
	r := encode(t, c, personaltest.Sealer{}, "notification-1", richEvent())
	for name, forged := range map[string]event.Recorded{
		"other stream": {Stream: "notification-2", Type: r.Type, Data: r.Data},
		"other field":  {Stream: r.Stream, Type: r.Type, Data: []byte(strings.Replace(string(r.Data), `"to":`, `"nothing":`, 1))},
		"claims to be moved": {Stream: r.Stream, Type: r.Type, Data: []byte(strings.Replace(
			string(r.Data), `"to":{`, `"nothing":{"moved_from":"/to",`, 1))},
	} {
		if _, err := c.Decode(t.Context(), personaltest.Sealer{}, "acme", forged); !errors.Is(err, personaltest.ErrForeign) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := c.Decode(t.Context(), personaltest.Sealer{}, "other", r); !errors.Is(err, personaltest.ErrForeign) {
		t.Errorf("other tenant: got %v", err)
	}
}

func TestWithoutSealerValuesStaySealed(t *testing.T) {
	c := codec(t)
	r := encode(t, c, personaltest.Sealer{}, "notification-1", richEvent())
	e, err := c.Decode(t.Context(), nil, "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	sealed := e.(rich)
	if _, ok := sealed.To.Clear(); ok || !sealed.To.IsSealed() || sealed.To.Person() != "p-1" || !sealed.Fields["x"].IsErased() {
		t.Error("not sealed, or its person is lost")
	}
	again := encode(t, c, nil, "notification-1", sealed)
	if diff := cmp.Diff(string(r.Data), string(again.Data)); diff != "" {
		t.Errorf("a sealed event encodes to other bytes:\n%s", diff)
	}
	if _, _, err := c.Encode(t.Context(), nil, "acme", "notification-2", sealed); !errors.Is(err, personal.ErrMovedSealed) {
		t.Errorf("sealed value in another stream: got %v", err)
	}
	sealed.To, sealed.Fields["day"] = sealed.Fields["day"], sealed.To
	if _, _, err := c.Encode(t.Context(), nil, "acme", "notification-1", sealed); !errors.Is(err, personal.ErrMovedSealed) {
		t.Errorf("sealed value in another field: got %v", err)
	}
}

func TestErasedOpensAsErasedAndStaysSo(t *testing.T) {
	c := codec(t)
	r := encode(t, c, personaltest.Sealer{}, "notification-1", richEvent())
	gone := personaltest.Sealer{Erased: map[string]bool{"k-1": true}}
	e, err := c.Decode(t.Context(), gone, "acme", r)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.(rich); !got.To.IsErased() || !got.Name.IsErased() || !got.Parts[0].Text.IsErased() || got.To.Ref() != anna {
		t.Error("not erased")
	}
	// Copied elsewhere and read back it is erased still.
	again := encode(t, c, gone, "notification-2", e)
	if e, err = c.Decode(t.Context(), gone, "acme", again); err != nil || !e.(rich).To.IsErased() {
		t.Errorf("erased value after a copy: %v", err)
	}
}

func TestKeyStoreThatDoesNotAnswerIsAnError(t *testing.T) {
	c := codec(t)
	r := encode(t, c, personaltest.Sealer{}, "notification-1", richEvent())
	down := errors.New("down")
	if _, err := c.Decode(t.Context(), personaltest.Sealer{Err: down}, "acme", r); !errors.Is(err, down) {
		t.Errorf("decoding: got %v", err)
	}
	if _, _, err := c.Encode(t.Context(), personaltest.Sealer{Err: down}, "acme", "notification-1", richEvent()); !errors.Is(err, down) {
		t.Errorf("encoding: got %v", err)
	}
}

func TestClearValueNeedsPersonAndSealer(t *testing.T) {
	c := codec(t)
	for name, ref := range map[string]personal.Ref{"none": {}, "no key": {Person: "p"}, "no person": {Key: "k"}} {
		e := rich{To: personal.New(ref, "+393331234567")}
		_, _, err := c.Encode(t.Context(), personaltest.Sealer{}, "acme", "s", e)
		if !errors.Is(err, personal.ErrNoPerson) || strings.Contains(err.Error(), "333") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, _, err := c.Encode(t.Context(), nil, "acme", "s", richEvent()); !errors.Is(err, personal.ErrNoSealer) {
		t.Errorf("no sealer: got %v", err)
	}
	if _, _, err := c.Encode(t.Context(), nil, "acme", "s", bare{Code: "x"}); err != nil {
		t.Errorf("nothing personal and no sealer: %v", err)
	}
}

func TestClearValueInStoredDataIsRefusedWithoutQuotingIt(t *testing.T) {
	c := codec(t)
	for _, data := range []string{`{"to":"+393331234567"}`, `{"to":{"clear":"+393331234567"}}`, `{"to":{"person":"p","key":"k","nonce":"+393331234567"}}`} {
		_, err := c.Decode(t.Context(), personaltest.Sealer{}, "acme", event.Recorded{Type: "Rich", Data: []byte(data)})
		if !errors.Is(err, personal.ErrNotSealed) || strings.Contains(err.Error(), "333") {
			t.Errorf("got %v", err)
		}
	}
}

func TestUnknownTypes(t *testing.T) {
	c := codec(t)
	var unknown *event.UnknownType
	if _, err := c.Decode(t.Context(), nil, "", event.Recorded{Type: "Gone"}); !errors.Is(err, event.ErrUnknownType) || !errors.As(err, &unknown) || unknown.Name != "Gone" {
		t.Errorf("got %v", err)
	}
	for _, e := range []any{nil, part{}, &bare{}} {
		if _, _, err := c.Encode(t.Context(), nil, "", "s", e); !errors.Is(err, event.ErrUnknownType) {
			t.Errorf("%T: got %v", e, err)
		}
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	e, err := codec(t).Decode(t.Context(), nil, "", event.Recorded{Type: "Bare", Data: []byte(`{"code":"c","later":{"x":1}}`)})
	if err != nil || e != any(bare{Code: "c"}) {
		t.Errorf("got %v, %v", e, err)
	}
	if _, err := codec(t).Decode(t.Context(), nil, "", event.Recorded{Type: "Bare", Data: []byte(`{"code":7}`)}); err == nil {
		t.Error("a number was read as a string")
	}
}

func TestUpcastsAreChainedAndMayMoveSealedValues(t *testing.T) {
	type v1 struct {
		Number personal.Value `json:"number"`
		Big    int64          `json:"big"`
	}
	type v3 struct {
		To   map[string][]personal.Value `json:"to"`
		Big  int64                       `json:"big"`
		Kind string                      `json:"kind"`
	}
	toV2 := func(raw json.RawMessage) (json.RawMessage, error) {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, err
		}
		m["to"] = json.RawMessage(`{"sms":[` + string(m["number"]) + `]}`)
		delete(m, "number")
		return json.Marshal(m)
	}
	toV3 := func(raw json.RawMessage) (json.RawMessage, error) {
		return append(append(json.RawMessage{}, raw[:len(raw)-1]...), `,"kind":"lifted"}`...), nil
	}
	old := codec(t, event.Define[v1]("Asked"))
	c := codec(t, event.Define[v3]("AskedV3", event.Upcast("Asked", toV2), event.Upcast("AskedV2", toV3)))
	in := v1{Number: personal.New(anna, "+39333"), Big: 1<<62 + 1}
	r := encode(t, old, personaltest.Sealer{}, "s-1", in)
	want := v3{To: map[string][]personal.Value{"sms": {in.Number}}, Big: in.Big, Kind: "lifted"}
	e, err := c.Decode(t.Context(), personaltest.Sealer{}, "acme", r)
	if diff := cmp.Diff(any(want), e); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"AskedV3"}, c.Names()); diff != "" {
		t.Error(diff)
	}
	// The moved value is still bound to its stream.
	r.Stream = "s-2"
	if _, err := c.Decode(t.Context(), personaltest.Sealer{}, "acme", r); !errors.Is(err, personaltest.ErrForeign) {
		t.Errorf("in another stream: got %v", err)
	}
}

func TestDefinitionsThatCannotWork(t *testing.T) {
	type unreachable struct{ to personal.Value }
	type dashed struct {
		To personal.Value `json:"-"`
	}
	type loose struct{ Any any }
	type looseMap struct{ M map[string]any }
	type ring struct{ Next *struct{ To []*ringed } }
	type keyed struct{ M map[int]personal.Value }
	type quoted struct {
		N int `json:"n,string"`
	}
	type twice struct {
		common
		Again int `json:"attempt"`
	}
	_ = unreachable{}.to
	for name, d := range map[string][]event.Definition{
		"unreachable":    {event.Define[unreachable]("X")},
		"dashed":         {event.Define[dashed]("X")},
		"interface":      {event.Define[loose]("X")},
		"interface map":  {event.Define[looseMap]("X")},
		"recursive":      {event.Define[ring]("X")},
		"int keys":       {event.Define[keyed]("X")},
		"string option":  {event.Define[quoted]("X")},
		"member twice":   {event.Define[twice]("X")},
		"self-marshaler": {event.Define[hides]("X")},
		"not a struct":   {event.Define[int]("X")},
		"pointer":        {event.Define[*bare]("X")},
		"no name":        {event.Define[bare]("")},
		"name twice":     {event.Define[bare]("X"), event.Define[part]("X")},
		"type twice":     {event.Define[bare]("X"), event.Define[bare]("Y")},
		"old name twice": {event.Define[bare]("X", event.Upcast("Y", nil)), event.Define[part]("Y")},
	} {
		if _, err := event.NewCodec(d...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

type ringed struct {
	To   personal.Value
	Next *ringed
}

type hides struct{ To personal.Value }

func (hides) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

func TestDescribe(t *testing.T) {
	got := codec(t).Describe()
	want := event.Description{Name: "Bare", Doc: "Bare says so.", Go: "event_test.bare", Fields: []event.FieldDescription{
		{Path: "code", Type: "string", Doc: "why"}, {Path: "n", Type: "number"}}}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Error(diff)
	}
	paths := map[string]string{}
	for _, f := range got[1].Fields {
		paths[f.Path] = f.Type
		if f.Personal != (f.Type == "personal") {
			t.Errorf("%s: personal = %v", f.Path, f.Personal)
		}
	}
	wantPaths := map[string]string{
		"attempt": "number", "route": "string", "channel": "string", "at": "time", "to": "personal", "name": "personal",
		"nothing": "personal", "fields{}": "personal", "by_list{}[]": "personal", "parts[]": "object", "parts[].number": "number",
		"parts[].text": "personal", "last": "object", "last.number": "number", "last.text": "personal", "two[]": "personal",
		"plain{}": "string", "codes[]": "number", "raw": "string", "rate": "number", "ok": "boolean",
	}
	if diff := cmp.Diff(wantPaths, paths); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataComesBack(t *testing.T) {
	in := event.Metadata{Tenant: "acme", Actor: "local", CorrelationID: "c", CausationID: "d",
		OccurredAt: time.Unix(1, 5).UTC(), RecordedAt: time.Unix(2, 0).UTC(), Traceparent: "t", Test: true}
	data, err := event.EncodeMetadata(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := event.DecodeMetadata(data)
	if diff := cmp.Diff(in, out); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if m, err := event.DecodeMetadata(nil); err != nil || m != (event.Metadata{}) {
		t.Errorf("no bytes: got %v, %v", m, err)
	}
	if _, err := event.DecodeMetadata([]byte(`{`)); err == nil {
		t.Error("broken JSON was read")
	}
}

// An event of 1 kB with two personal values, there and back.
func BenchmarkCodec(b *testing.B) {
	c := codec(b)
	e := rich{common: common{Attempt: 1, Route: "main", Channel: "sms"}, At: time.Unix(1, 0).UTC(),
		To: personal.New(anna, "+393331234567"), Fields: map[string]personal.Value{"day": personal.New(anna, "2027-01-02")},
		Plain: map[string]string{"filler": strings.Repeat("x", 400)}}
	for b.Loop() {
		name, data, err := c.Encode(b.Context(), personaltest.Sealer{}, "acme", "notification-1", e)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(len(data)))
		if _, err := c.Decode(b.Context(), personaltest.Sealer{}, "acme", event.Recorded{Stream: "notification-1", Type: name, Data: data}); err != nil {
			b.Fatal(err)
		}
	}
}
