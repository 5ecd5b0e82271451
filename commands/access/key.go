package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

const (
	keyPrefix = "rk_"
	keyBytes  = 32 // random, in a key
	idBytes   = 8  // random, in a key's id
)

// keyLength is the length of every key in characters.
var keyLength = len(keyPrefix) + base64.RawURLEncoding.EncodedLen(keyBytes)

type digest [sha256.Size]byte

// NewKey makes the text of a key: `rk_` and 256 random bits. The caller keeps it; what
// is made for a tenant comes from Create.
func NewKey() string {
	random := make([]byte, keyBytes)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the program instead
	return keyPrefix + base64.RawURLEncoding.EncodeToString(random)
}

var lowerBase32 = base32.NewEncoding("abcdefghijkmnpqrstuvwxyz23456789").WithPadding(base32.NoPadding)

// newKeyID makes the name of a key, which opens nothing.
func newKeyID() string {
	random := make([]byte, idBytes)
	_, _ = rand.Read(random)
	return lowerBase32.EncodeToString(random)
}

// wellFormed reports whether a text can be a key at all, so that nothing else is hashed.
func wellFormed(key string) bool {
	return len(key) == keyLength && strings.HasPrefix(key, keyPrefix)
}

func digestOf(key string) digest { return sha256.Sum256([]byte(key)) }

func (d digest) String() string { return hex.EncodeToString(d[:]) }

// parseDigest reads the stored form.
func parseDigest(s string) (d digest, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	return digest(b), true
}
