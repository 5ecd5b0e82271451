package personal

import (
	"crypto/sha256"
	"crypto/subtle"
)

// CommitmentSecretBytes is the length of r, which stands before the value in what is
// encrypted.
const CommitmentSecretBytes = 32

// Commitment is SHA-256(r ‖ associated ‖ clear): whoever is shown r and the value can
// check it against an event without any key.
func Commitment(r, associated, clear []byte) []byte {
	h := sha256.New()
	h.Write(r)
	h.Write(associated)
	h.Write(clear)
	return h.Sum(nil)
}

// Commits reports whether s holds this value at this place, as r proves.
func (s Sealed) Commits(r, associated, clear []byte) bool {
	return len(r) == CommitmentSecretBytes &&
		subtle.ConstantTimeCompare(s.Commitment, Commitment(r, associated, clear)) == 1
}
