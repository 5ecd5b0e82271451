// Package personal keeps personal data out of sight: a Value is clear in memory,
// knows its person, and prints, logs and marshals only as its masked form. The codec
// (domain/event) seals values as it encodes and opens them as it decodes, with the
// Sealer it is given, so deciders stay pure and no caller can forget.
package personal

import "context"

// PersonID is the random id under which events and tables know a person.
type PersonID = string

// Ref names the person a value belongs to and the key that seals it.
type Ref struct {
	Person PersonID `json:"person"`
	Key    string   `json:"key"`
}

// Sealer seals and opens values. associated is the stream and field the value stands
// in, and is authenticated. Implemented by commands/sealing.
type Sealer interface {
	Seal(ctx context.Context, tenant string, ref Ref, associated, clear []byte) (Sealed, error)
	// Open returns erased = true when the key was destroyed; a key store that does not
	// answer is an error, never erased.
	Open(ctx context.Context, tenant string, s Sealed, associated []byte) (clear []byte, erased bool, err error)
}

// Sealed is the stored form of a value: AES-256-GCM under the person's key, with a
// commitment with it. r (32 random bytes) is sealed together with the clear value:
// Commitment = SHA-256(r ‖ associated ‖ clear), so showing r proves one field
// without the key. A large value is compressed before it is sealed; the commitment is
// over the clear value all the same.
type Sealed struct {
	Ref
	Nonce       []byte `json:"nonce"`
	Ciphertext  []byte `json:"ciphertext"`
	Commitment  []byte `json:"commitment"`
	Compression string `json:"compression,omitempty"` // of the clear value: "zstd" (RFC 8878), or none
}
