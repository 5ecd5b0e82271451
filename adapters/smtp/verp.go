package smtp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/google/uuid"

	"recapito/domain/receipt"
)

// A token names an attempt: the notification's UUID (16 bytes), the attempt's number
// (uvarint) and a MAC of both, in base32 without padding, in lower case. Mail systems
// change the case of a local part, so reading ignores it.
const (
	macBytes     = 10 // 80 bits: a forger must send 2^79 bounces
	maxAttempt   = 1<<21 - 1
	tokenContext = "recapito attempt 1\n"
	// MaxTokenBytes is the longest token, in characters: 16 + 3 + 10 bytes.
	MaxTokenBytes = 47
)

// ErrToken is a token that is malformed, or was not signed with one of the secrets.
var ErrToken = errors.New("the token is not one of ours")

var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token returns the signed token of an attempt's reference (receipt.Reference). It is the
// ENVID of a message (RFC 3461 section 4.4), and stands in its envelope sender.
func Token(secret []byte, reference string) (string, error) {
	notification, attempt, ok := receipt.ParseReference(reference)
	id, err := uuid.Parse(notification)
	if !ok || err != nil || id.String() != notification || attempt > maxAttempt {
		return "", errors.New("the reference names no attempt")
	}
	payload := binary.AppendUvarint(id[:], uint64(attempt))
	return tokenEncoding.EncodeToString(append(payload, mac(secret, payload)...)), nil
}

// ParseToken returns the reference that a token names, if it was signed with one of the
// secrets: the one in use, and those used before it.
func ParseToken(token string, secrets ...[]byte) (reference string, err error) {
	if len(token) > MaxTokenBytes {
		return "", ErrToken
	}
	token = strings.ToLower(token)
	b, err := tokenEncoding.DecodeString(token)
	if err != nil || len(b) <= len(uuid.UUID{})+macBytes || tokenEncoding.EncodeToString(b) != token {
		return "", ErrToken
	}
	payload, sum := b[:len(b)-macBytes], b[len(b)-macBytes:]
	attempt, n := binary.Uvarint(payload[len(uuid.UUID{}):])
	if n != len(payload)-len(uuid.UUID{}) || attempt < 1 || attempt > maxAttempt {
		return "", ErrToken
	}
	for _, secret := range secrets {
		if hmac.Equal(sum, mac(secret, payload)) {
			return receipt.Reference(uuid.UUID(payload[:len(uuid.UUID{})]).String(), int(attempt)), nil
		}
	}
	return "", ErrToken
}

func mac(secret, payload []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(tokenContext))
	h.Write(payload)
	return h.Sum(nil)[:macBytes]
}

// BounceMailbox returns the envelope sender of an attempt: the token as a sub-address of
// the mailbox that takes bounces, as in bounce+<token>@example.org.
func BounceMailbox(mailbox, token string) string {
	at := strings.LastIndexByte(mailbox, '@')
	return mailbox[:at] + "+" + token + mailbox[at:]
}

// ParseBounce returns the reference that the recipient of a bounce names, if it is a
// sub-address of the mailbox and its token was signed with one of the secrets.
func ParseBounce(mailbox, recipient string, secrets ...[]byte) (reference string, err error) {
	at, to := strings.LastIndexByte(mailbox, '@'), strings.LastIndexByte(recipient, '@')
	if at < 0 || to < 0 || !strings.EqualFold(mailbox[at:], recipient[to:]) {
		return "", ErrToken
	}
	local, prefix := recipient[:to], mailbox[:at]+"+"
	if len(local) <= len(prefix) || !strings.EqualFold(local[:len(prefix)], prefix) {
		return "", ErrToken
	}
	return ParseToken(local[len(prefix):], secrets...)
}
