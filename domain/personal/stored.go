package personal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Errors of a value's stored form.
var (
	// ErrNoSealer: a clear value met a codec without a sealer.
	ErrNoSealer = errors.New("no sealer for a personal value")
	// ErrMovedSealed: a value that is still sealed stands in another stream or field
	// than the one it was sealed for.
	ErrMovedSealed = errors.New("sealed personal value in another place than its own")
	// ErrNotSealed: JSON that is neither a sealed nor an erased value.
	ErrNotSealed = errors.New("not a sealed personal value")
)

// stored is a value as JSON: one object, either sealed or erased. Moved is written
// and honoured only round an upcast (see MovedMember).
type stored struct {
	Erased bool `json:"erased,omitempty"`
	Sealed
	Moved string `json:"moved_from,omitempty"`
}

// erased is what stays of a value that is stored again after its key was destroyed.
type erased struct {
	Erased bool `json:"erased"`
	Ref
}

// Seal returns the stored JSON of a value; only the codec calls it. associated names
// the stream and field and is authenticated with the value. A value still sealed is
// returned as it is if it stands where it was sealed for, else with ErrMovedSealed.
func (v Value) Seal(ctx context.Context, s Sealer, tenant, associated string) ([]byte, error) {
	c := v.content()
	switch c.state {
	case stateClear:
		if c.ref.Person == "" || c.ref.Key == "" {
			return nil, ErrNoPerson
		}
		if s == nil {
			return nil, ErrNoSealer
		}
		sealed, err := s.Seal(ctx, tenant, c.ref, []byte(associated), []byte(c.clear))
		if err != nil {
			return nil, fmt.Errorf("sealing a personal value: %w", err)
		}
		return sealed.appendJSON(nil)
	case stateErased:
		return json.Marshal(erased{Erased: true, Ref: c.ref})
	case stateSealed:
		if c.associated != associated {
			return nil, ErrMovedSealed
		}
		return c.sealed.appendJSON(nil)
	case stateZero:
	}
	return []byte("null"), nil
}

// appendJSON writes what encoding/json would, without its cost: it is done for every
// value of every event.
func (s Sealed) appendJSON(b []byte) ([]byte, error) {
	ref, err := json.Marshal(s.Ref) // ids come from outside and may need escaping
	if err != nil {
		return nil, err
	}
	const names = len(`,"nonce":"","ciphertext":"","commitment":"","compression":"zstd"}`)
	b = slices.Grow(b, len(ref)+names+2*(len(s.Nonce)+len(s.Ciphertext)+len(s.Commitment)))
	b = append(b, ref[:len(ref)-1]...)
	b = append(b, `,"nonce":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Nonce)
	b = append(b, `","ciphertext":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Ciphertext)
	b = append(b, `","commitment":"`...)
	b = base64.StdEncoding.AppendEncode(b, s.Commitment)
	b = append(b, '"')
	if s.Compression != "" {
		b = append(b, `,"compression":"`...)
		b = append(b, s.Compression...)
		b = append(b, '"')
	}
	return append(b, '}'), nil
}

// Open returns a decoded value in clear, or erased if its key was destroyed; only the
// codec calls it. Without a sealer the value stays sealed and knows its place.
func (v Value) Open(ctx context.Context, s Sealer, tenant, associated string) (Value, error) {
	if v.state() != stateSealed {
		return v, nil
	}
	c := *v.content()
	c.associated, c.moved = associated, ""
	if s == nil {
		return hold(c), nil
	}
	clear, gone, err := s.Open(ctx, tenant, c.sealed, []byte(associated))
	switch {
	case err != nil:
		return Value{}, fmt.Errorf("opening a personal value: %w", err)
	case gone:
		return Erased(c.ref), nil
	}
	return hold(content{state: stateClear, ref: c.ref, clear: string(clear)}), nil
}

// UnmarshalJSON reads a sealed or an erased value; null is the zero Value. It never
// reads a clear one, so nothing personal can come in unnoticed as JSON.
func (v *Value) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*v = Value{}
		return nil
	}
	if v.unmarshalOwn(data) {
		return nil
	}
	var in stored
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &in) != nil {
		return ErrNotSealed // without the cause: it could quote what stands there
	}
	switch {
	case in.Ref.Person == "" || in.Key == "":
		return ErrNotSealed
	case in.Erased:
		*v = Erased(in.Ref)
	case len(in.Ciphertext) == 0:
		return ErrNotSealed
	default:
		*v = hold(content{state: stateSealed, ref: in.Ref, sealed: in.Sealed, moved: in.Moved})
	}
	return nil
}

// unmarshalOwn reads what Seal writes of a sealed value that is not compressed: the fast
// way, for every event read. If it returns false it is something else, or not valid, and v is as it was.
func (v *Value) unmarshalOwn(data []byte) bool {
	var c content
	for _, one := range []struct {
		before string
		text   *string
		bytes  *[]byte
	}{
		{`{"person":"`, &c.ref.Person, nil}, {`","key":"`, &c.ref.Key, nil},
		{`","nonce":"`, nil, &c.sealed.Nonce}, {`","ciphertext":"`, nil, &c.sealed.Ciphertext}, {`","commitment":"`, nil, &c.sealed.Commitment},
	} {
		rest, ok := bytes.CutPrefix(data, []byte(one.before))
		end := bytes.IndexByte(rest, '"')
		if !ok || end <= 0 || !plain(rest[:end]) {
			return false
		}
		member := rest[:end]
		data = rest[end:]
		if one.text != nil {
			*one.text = string(member)
			continue
		}
		decoded, err := base64.StdEncoding.AppendDecode(nil, member)
		if err != nil {
			return false
		}
		*one.bytes = decoded
	}
	if string(data) != `"}` || len(c.sealed.Ciphertext) == 0 {
		return false
	}
	c.state, c.sealed.Ref = stateSealed, c.ref
	*v = hold(c)
	return true
}

// plain reports whether a text stands in JSON as it is.
func plain(text []byte) bool {
	return !slices.ContainsFunc(text, func(b byte) bool { return b < ' ' || b >= utf8.RuneSelf || b == '\\' })
}

// MovedMember is the member by which the codec gives a sealed value, before an
// upcast may move it, the path it was sealed for. In any other event it means nothing.
const MovedMember = "moved_from"

// MovedFrom returns the path that the codec marked the value with, if any.
func (v Value) MovedFrom() (path string, ok bool) {
	moved := v.content().moved
	return moved, moved != ""
}
