package event

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type fastInner struct {
	Part int       `json:"part"`
	At   time.Time `json:"at,omitzero"`
}

type fastSample struct {
	fastEmbedded
	Name   string                `json:"name"`
	Kind   fastKind              `json:"kind,omitempty"`
	Count  int                   `json:"count"`
	Small  int8                  `json:"small,omitempty"`
	Test   bool                  `json:"test,omitempty"`
	Wait   fastDuration          `json:"wait"`
	Hash   []byte                `json:"hash,omitempty"`
	Parts  []fastInner           `json:"parts,omitempty"`
	Inner  fastInner             `json:"inner"`
	Open   map[string]string     `json:"open,omitempty"`
	Share  float64               `json:"share,omitempty"`
	Number uint16                `json:"number,omitempty"`
	To     map[string][]fastKind `json:"to,omitempty"`
	Deep   []fastDeep            `json:"deep"`
}

type fastDeep struct {
	Inner *fastInner `json:"inner"`
	Lists [][]int8   `json:"lists"`
	Pair  [2]bool    `json:"pair"`
}

type fastEmbedded struct {
	At time.Time `json:"at"`
}

type fastKind string

type fastDuration time.Duration

func (d fastDuration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *fastDuration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	v, err := time.ParseDuration(text)
	*d = fastDuration(v)
	return err
}

func fastPlan(t testing.TB) *plan {
	p, err := planOf(reflect.TypeFor[fastSample]())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var fastFull = fastSample{
	fastEmbedded: fastEmbedded{time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)},
	Name:         "città", Kind: "k", Count: -12, Small: 7, Test: true, Wait: fastDuration(90 * time.Second), Hash: []byte{1, 2, 3},
	Parts: []fastInner{{Part: 1}, {Part: 2, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}}, Inner: fastInner{Part: 3},
	Open: map[string]string{"a": `}"]`}, Share: 0.5, Number: 9,
	To:   map[string][]fastKind{"sms": {"a", "\n<b>"}, "e\tmail": {}, "push": nil},
	Deep: []fastDeep{{}, {Inner: &fastInner{Part: 4}, Lists: [][]int8{{1, 2}, nil, {}}, Pair: [2]bool{true, false}}},
}

// What we write is read the fast way.
func TestOwnFormIsRead(t *testing.T) {
	p := fastPlan(t)
	for _, one := range []fastSample{{}, {Name: "x"}, fastFull} {
		data, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		var got, want fastSample
		if !p.decodeOwn(data, reflect.ValueOf(&got).Elem()) {
			t.Errorf("%s is not taken for our own", data)
			continue
		}
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: got %+v, want %+v", err, got, want)
		}
	}
}

// Whatever is read the fast way is what encoding/json reads.
func FuzzOwnForm(f *testing.F) {
	full, err := json.Marshal(fastFull)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(full), `{}`, `{ }`, `{"name":"a"}`, `{"name":"a","name":"b"}`, `{"count":1,"name":"a"}`, `{"count":01}`, `{"count":-0}`, `{"count":-}`,
		`{"count":1.0}`, `{"count":1e2}`, `{"small":128}`, `{"name":null}`, `{"test":nul}`, `{"test":true}x`, `{"Name":"a"}`, `{"name":"a\u0041"}`,
		"{\"name\":\"\xff\"}", `{"at":"2026-03-01T12:00:00Z"}`, `{"at":"x"}`, `{"at":null}`, `{"parts":[{"part":1},{}]}`, `{"parts":[}`, `{"parts":}`,
		`{"inner":{"part":1},"open":{"a":"b"}}`, `{"hash":"AQID"}`, `{"hash":"*"}`, `{"wait":"1s"}`, `{"name":"a",}`, `{"unknown":1}`, `{"count":9223372036854775808}`,
		`{"share":1e-2}`, `{"number":65536}`, `{"open":{"a":"b"},"open":{"c":"d"}}`, `{"at":"2026-03-01T12:00:00\u005a"}`,
		`{"to":{"a":["b"],"a":null}}`, `{"to":{"\u0061":["\u0062"]}}`, `{"to":{"a":"b"}}`, `{"deep":[{"inner":null,"lists":[[1]]},{"pair":[true]}]}`, `{"deep":null}`,
		`{"deep":[{"lists":[[300]]}]}`, `{"deep":[{"inner":{"part":1,"part":2}}]}`, `{"hash":null}`, `{"hash":""}`, `{"deep":[,{}]}`, `{"to":{"a":[],}}`,
	} {
		f.Add([]byte(seed))
	}
	p := fastPlan(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want fastSample
		if !p.decodeOwn(data, reflect.ValueOf(&got).Elem()) {
			return
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q is read, and encoding/json says %v", data, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %+v, want %+v", data, got, want)
		}
	})
}

func BenchmarkOwnForm(b *testing.B) {
	p := fastPlan(b)
	data, err := json.Marshal(fastFull)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			var v fastSample
			if !p.decodeOwn(data, reflect.ValueOf(&v).Elem()) {
				b.Fatal("not ours")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			var v fastSample
			if err := json.Unmarshal(data, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
