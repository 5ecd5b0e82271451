package personal

import (
	"bytes"
	"errors"
	"fmt"
)

// Value is one piece of personal data: a number, a name, a text. It is immutable and
// in one of four states: zero (nothing), clear, erased (its person's key was
// destroyed), sealed (decoded without a sealer, as projections do).
//
// However it is printed, logged or marshalled, only a fixed mask of its state comes
// out, never a part of the value and never its length. Clear is the one way to the
// value; the codec is the one way to its stored form.
//
// Values are compared with Equal (go-cmp uses it); == does not compile.
type Value struct {
	_ [0]func() // not comparable: == would compare addresses
	// The content stands behind two pointers because fmt does not call the methods of
	// unexported fields: it would print a string that stood here; of a pointer it
	// prints the address, but under a verb it does not know what the pointer leads to.
	box **content
}

// hold makes the value of a content.
func hold(c content) Value {
	at := &c
	return Value{box: &at}
}

// content is what a value holds; that of the zero Value is the zero content.
func (v Value) content() *content {
	if v.box == nil {
		return &nothing
	}
	return *v.box
}

var nothing content // never written to

type content struct {
	state      state
	ref        Ref
	clear      string
	sealed     Sealed
	associated string // of a sealed value: the place it was sealed for, once known
	moved      string // of a sealed value: the path it had before an upcast, see MovedMember
}

type state uint8

const (
	stateZero state = iota
	stateClear
	stateErased
	stateSealed
)

// The masks. They say the state and nothing of the value.
const (
	maskClear  = "[personal]"
	maskErased = "[erased]"
	maskSealed = "[sealed]"
)

// ErrNoPerson: a clear value without a person or a key cannot be stored.
var ErrNoPerson = errors.New("personal value without a person and a key")

// New makes a clear value of a person. Without a person (the zero Ref) it can be used
// in memory, but not stored; give it one by WithRef. New(Ref{}, "") is the zero Value.
func New(ref Ref, clear string) Value {
	if clear == "" && ref == (Ref{}) {
		return Value{}
	}
	return hold(content{state: stateClear, ref: ref, clear: clear})
}

// Erased makes the value that stands for one whose key was destroyed.
func Erased(ref Ref) Value { return hold(content{state: stateErased, ref: ref}) }

// WithRef returns a clear value as one of the given person. Any other value is
// returned as it is: whose it is cannot change any more.
func (v Value) WithRef(ref Ref) Value {
	if v.state() != stateClear {
		return v
	}
	return New(ref, v.content().clear)
}

// Clear returns the value in clear; not ok if there is none to show (zero, erased,
// still sealed).
func (v Value) Clear() (clear string, ok bool) {
	if v.state() != stateClear {
		return "", false
	}
	return v.content().clear, true
}

// IsZero reports whether there is no value; `omitzero` leaves such a field out.
func (v Value) IsZero() bool { return v.state() == stateZero }

// IsErased reports whether the person's key was destroyed.
func (v Value) IsErased() bool { return v.state() == stateErased }

// IsSealed reports whether the value was decoded without a sealer.
func (v Value) IsSealed() bool { return v.state() == stateSealed }

// Ref names the person and the key.
func (v Value) Ref() Ref { return v.content().ref }

// Person returns the id of the person, empty if there is none.
func (v Value) Person() PersonID { return v.Ref().Person }

// Equal compares state, person, key and content.
func (v Value) Equal(w Value) bool {
	a, b := v.content(), w.content()
	return a.state == b.state && a.ref == b.ref && a.clear == b.clear &&
		a.associated == b.associated && a.moved == b.moved && a.sealed.equal(b.sealed)
}

func (s Sealed) equal(t Sealed) bool {
	return s.Ref == t.Ref && bytes.Equal(s.Nonce, t.Nonce) &&
		bytes.Equal(s.Ciphertext, t.Ciphertext) && bytes.Equal(s.Commitment, t.Commitment) && s.Compression == t.Compression
}

func (v Value) state() state { return v.content().state }

// String returns the mask.
func (v Value) String() string {
	switch v.state() {
	case stateClear:
		return maskClear
	case stateErased:
		return maskErased
	case stateSealed:
		return maskSealed
	case stateZero:
	}
	return ""
}

// GoString returns the mask, for %#v.
func (v Value) GoString() string { return "personal.Value(" + v.String() + ")" }

// Format prints the mask under every verb and flag.
func (v Value) Format(f fmt.State, verb rune) {
	s := v.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		s = v.GoString()
	case verb == 'q':
		s = `"` + s + `"`
	}
	// A formatter cannot report that its writer fails.
	_, _ = f.Write([]byte(s))
}

// MarshalText returns the mask. slog's text handler, XML and YAML come here.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// MarshalJSON returns the mask as a string, null for the zero Value. The stored form
// comes from Seal, which only the codec calls.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + v.String() + `"`), nil
}
