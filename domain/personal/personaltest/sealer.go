// Package personaltest holds a Sealer for tests: deterministic, so that golden files
// of events can be compared, and without keys. It hides nothing from anyone.
package personaltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"recapito/domain/personal"
)

// Sealer "seals" by a fixed, reversible scrambling. The zero value works. As the real
// one does, it refuses a value that was changed or moved to another tenant, stream or
// field, and returns erased for the keys in Erased, or Err for everything if it is set.
type Sealer struct {
	Erased map[string]bool // by key id
	Err    error           // a key store that does not answer
}

var _ personal.Sealer = Sealer{}

// ErrForeign: the value was sealed for another tenant, stream or field, or was changed.
var ErrForeign = errors.New("personaltest: value does not belong here")

// ErrErased: something new was to be sealed under a destroyed key.
var ErrErased = errors.New("personaltest: key erased")

// Seal scrambles clear, the same way each time.
func (s Sealer) Seal(_ context.Context, tenant string, ref personal.Ref, associated, clear []byte) (personal.Sealed, error) {
	switch {
	case s.Err != nil:
		return personal.Sealed{}, s.Err
	case s.Erased[ref.Key]:
		return personal.Sealed{}, ErrErased
	}
	return personal.Sealed{
		Ref:        ref,
		Nonce:      digest([]byte(tenant), []byte(ref.Person), []byte(ref.Key), associated)[:12],
		Ciphertext: scramble(append([]byte{marker}, clear...)),
		Commitment: digest(associated, clear),
	}, nil
}

// Open turns Seal round.
func (s Sealer) Open(_ context.Context, tenant string, v personal.Sealed, associated []byte) ([]byte, bool, error) {
	switch {
	case s.Err != nil:
		return nil, false, s.Err
	case s.Erased[v.Key]:
		return nil, true, nil
	}
	clear := scramble(v.Ciphertext)
	if len(clear) == 0 ||
		!bytes.Equal(v.Nonce, digest([]byte(tenant), []byte(v.Person), []byte(v.Key), associated)[:12]) ||
		!bytes.Equal(v.Commitment, digest(associated, clear[1:])) {
		return nil, false, ErrForeign
	}
	return clear[1:], false, nil
}

// marker stands before the value, so that an empty one has a ciphertext too.
const marker = 0

// scramble is its own inverse.
func scramble(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0x5a
	}
	return out
}

func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{'\n'})
	}
	return h.Sum(nil)
}
