package personal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
)

// secret holds no run of digits: printed addresses could hold the same by chance.
const secret = "Quetzalcoatl-Wyvern"

var anna = personal.Ref{Person: "p-1", Key: "k-1"}

// shows reports whether any run of four characters of the secret stands in the output,
// in clear, hex or base64.
func shows(out string) bool {
	for i := 0; i+4 <= len(secret); i++ {
		if strings.Contains(out, secret[i:i+4]) {
			return true
		}
	}
	for _, form := range []string{hex.EncodeToString([]byte(secret[1:])), base64.StdEncoding.EncodeToString([]byte(secret))[:12]} {
		if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
			return true
		}
	}
	return strings.Contains(out, fmt.Sprint([]byte(secret[:4]))[1:8])
}

type document struct {
	V personal.Value
	P *personal.Value
	L []personal.Value
}

type holder struct {
	Open   personal.Value
	Ptr    *personal.Value
	List   []personal.Value
	Map    map[string]personal.Value
	Any    any
	hidden personal.Value
	deep   struct{ v []personal.Value }
}

func holding(v personal.Value) holder {
	h := holder{Open: v, Ptr: &v, List: []personal.Value{v}, Map: map[string]personal.Value{"k": v}, Any: v, hidden: v}
	h.deep.v = []personal.Value{v}
	return h
}

func TestNoVerbShowsAValue(t *testing.T) {
	v := personal.New(anna, secret)
	things := []any{v, &v, holding(v), new(holding(v)), []any{v}, map[string]any{"a": v},
		fmt.Errorf("sending: %v %+v %#v %s %w", v, v, v, v, errors.New("x"))}
	for _, thing := range things {
		for verb := 'A'; verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", "20.10", "+#"} {
				if out := fmt.Sprintf("%"+flags+string(verb), thing); shows(out) {
					t.Errorf("%%%s%c of %T shows the value", flags, verb, thing)
				}
			}
		}
		if shows(fmt.Sprint(thing)) || shows(fmt.Sprintln(thing)) {
			t.Errorf("printing %T shows the value", thing)
		}
	}
}

func TestNoLogOrDocumentShowsAValue(t *testing.T) {
	v := personal.New(anna, secret)
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		l := slog.New(h).With("with", v)
		l.Info(v.String(), "value", v, "pointer", &v, "holder", holding(v), "list", []personal.Value{v},
			slog.Group("g", "in", v), "err", fmt.Errorf("no %v", v))
	}
	if !strings.Contains(out.String(), "[personal]") {
		t.Error("the logs do not even show the mask")
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal} {
		data, err := marshal(document{v, &v, []personal.Value{v}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out.Write(data)
	}
	if err := yaml.NewEncoder(&out).Encode(map[string]any{"v": v}); err != nil {
		t.Error(err)
	}
	if shows(out.String()) {
		t.Error("a log or a document shows the value")
	}
}

func TestMasksSayTheStateOnly(t *testing.T) {
	short, long := personal.New(anna, "1"), personal.New(anna, strings.Repeat("1", 1000))
	if short.String() != long.String() || fmt.Sprintf("%30v", short) != fmt.Sprintf("%v", long) {
		t.Error("the mask tells the length")
	}
	for want, v := range map[string]personal.Value{"[personal]": short, "[erased]": personal.Erased(anna), "": {}} {
		if got := v.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := fmt.Sprintf("%#v %q", short, short); got != `personal.Value([personal]) "[personal]"` {
		t.Error(got)
	}
}

func TestStates(t *testing.T) {
	zero, empty := personal.Value{}, personal.New(anna, "")
	if _, ok := zero.Clear(); ok || !zero.IsZero() || zero.Person() != "" || !personal.New(personal.Ref{}, "").IsZero() {
		t.Error("the zero value is not nothing")
	}
	if s, ok := empty.Clear(); !ok || s != "" || empty.IsZero() {
		t.Error("an empty value of a person is not a value")
	}
	gone := personal.Erased(anna)
	if _, ok := gone.Clear(); ok || !gone.IsErased() || gone.Person() != "p-1" {
		t.Error("an erased value is not erased")
	}
	named := personal.New(personal.Ref{}, secret).WithRef(anna)
	if s, ok := named.Clear(); !ok || s != secret || named.Ref() != anna {
		t.Error("WithRef lost the value or the person")
	}
	if gone.WithRef(personal.Ref{Person: "p-2", Key: "k-2"}).Person() != "p-1" {
		t.Error("an erased value changed its person")
	}
}

func TestEqual(t *testing.T) {
	values := []personal.Value{{}, personal.New(anna, "a"), personal.New(anna, "b"), personal.New(personal.Ref{Person: "p-2", Key: "k-1"}, "a"),
		personal.Erased(anna), sealed(t, "a", "s\n/x"), sealed(t, "a", "s\n/y")}
	copies := []personal.Value{{}, personal.New(anna, "a"), personal.New(anna, "b"), personal.New(personal.Ref{Person: "p-2", Key: "k-1"}, "a"),
		personal.Erased(anna), sealed(t, "a", "s\n/x"), sealed(t, "a", "s\n/y")}
	for i := range values {
		for j := range copies {
			if got := values[i].Equal(copies[j]); got != (i == j) || cmp.Equal(values[i], copies[j]) != (i == j) {
				t.Errorf("%d, %d: Equal = %v", i, j, got)
			}
		}
	}
	if reflect.TypeFor[personal.Value]().Comparable() {
		t.Error("== compiles, and would compare addresses")
	}
}

// sealed is a value as a projection sees it.
func sealed(t *testing.T, clear, associated string) personal.Value {
	t.Helper()
	data, err := personal.New(anna, clear).Seal(t.Context(), personaltest.Sealer{}, "acme", associated)
	if err != nil {
		t.Fatal(err)
	}
	var v personal.Value
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	if v, err = v.Open(t.Context(), nil, "acme", associated); err != nil {
		t.Fatal(err)
	}
	return v
}

// The stored form is in every event ever written: it does not change.
func TestStoredFormIsGolden(t *testing.T) {
	seal := func(v personal.Value) string {
		data, err := v.Seal(t.Context(), personaltest.Sealer{}, "acme", "notification-1\n/to")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for want, v := range map[string]personal.Value{
		`{"person":"p-1","key":"k-1","nonce":"3YuJ0woDhahEugTs","ciphertext":"WjI/NjY1","commitment":"ZxqKYaps2ZcfW7BC/5fSEMPxYPC3hcabQenubxAorbo="}`: personal.New(anna, "hello"),
		`{"erased":true,"person":"p-1","key":"k-1"}`: personal.Erased(anna),
		`null`: {},
	} {
		if diff := cmp.Diff(want, seal(v)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestSealedValueShowsNothingEither(t *testing.T) {
	v := sealed(t, secret, "s\n/to")
	data, err := json.Marshal(holding(v))
	if err != nil {
		t.Fatal(err)
	}
	if out := string(data) + fmt.Sprintf("%v %+v %#v", v, holding(v), v); strings.Contains(out, "ciphertext") || !strings.Contains(out, "[sealed]") {
		t.Error("a sealed value prints its ciphertext")
	}
}

func TestOpenPassesTheSealersAnswersOn(t *testing.T) {
	v, ctx := sealed(t, secret, "s\n/to"), context.Background()
	if got, err := v.Open(ctx, personaltest.Sealer{}, "acme", "s\n/to"); err != nil || !got.Equal(personal.New(anna, secret)) {
		t.Errorf("opened: %v, %v", got, err)
	}
	if got, err := v.Open(ctx, personaltest.Sealer{Erased: map[string]bool{"k-1": true}}, "acme", "s\n/to"); err != nil || !got.Equal(personal.Erased(anna)) {
		t.Errorf("erased: %v, %v", got, err)
	}
	if _, err := v.Open(ctx, personaltest.Sealer{}, "acme", "s\n/from"); !errors.Is(err, personaltest.ErrForeign) {
		t.Errorf("elsewhere: %v", err)
	}
	down := errors.New("down")
	if got, err := v.Open(ctx, personaltest.Sealer{Err: down}, "acme", "s\n/to"); !errors.Is(err, down) || got.IsErased() {
		t.Errorf("key store down: %v, %v", got, err)
	}
}

func FuzzUnmarshalJSON(f *testing.F) {
	f.Add([]byte(`{"person":"p","key":"k","nonce":"AA==","ciphertext":"AA==","commitment":"AA=="}`))
	f.Add([]byte(`{"erased":true,"person":"p","key":"k"}`))
	f.Add([]byte(`"+393331234567"`))
	f.Add([]byte(`{"person":"p","key":"k\u0041","nonce":"AA==","ciphertext":"AA==","commitment":"A\n"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v personal.Value
		// A space first is not our own form, and means the same.
		var other personal.Value
		spaced := bytes.Replace(data, []byte(`{`), []byte(`{ `), 1)
		if a, b := v.UnmarshalJSON(data), other.UnmarshalJSON(spaced); (a == nil) != (b == nil) || !v.Equal(other) {
			t.Errorf("%v, and %v when it is read by encoding/json", a, b)
		}
		if err := v.UnmarshalJSON(data); err != nil {
			if !errors.Is(err, personal.ErrNotSealed) || err.Error() != personal.ErrNotSealed.Error() {
				t.Error("the error may quote what stands there")
			}
			return
		}
		if _, ok := v.Clear(); ok {
			t.Error("a clear value came in as JSON")
		}
	})
}
