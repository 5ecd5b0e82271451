package event

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
)

// IDs makes the ids of an append's n events: UUIDv5(execution, index). execution is a
// UUID that is random for each execution of a command and kept through the retries of
// its own append, so that a repeated append is recognised and another's never is.
func IDs(execution string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = UUIDv5(execution, strconv.Itoa(i))
	}
	return ids
}

// UUIDv5 makes the name-based UUID of RFC 9562, section 5.5, in canonical text form.
// A namespace that is not a UUID is hashed as it stands.
func UUIDv5(namespace, name string) string {
	h := sha1.New()
	if ns, err := hex.DecodeString(strings.ReplaceAll(namespace, "-", "")); err == nil && len(ns) == 16 {
		h.Write(ns)
	} else {
		h.Write([]byte(namespace))
	}
	h.Write([]byte(name))
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50 // version 5
	u[8] = u[8]&0x3f | 0x80 // variant of RFC 9562

	const canonicalLength = 36
	out := make([]byte, 0, canonicalLength)
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, []byte{b})
	}
	return string(out)
}
