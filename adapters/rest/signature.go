package rest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/http/httpguts"

	"recapito/commands/channel"
)

// Schemes and limits of signatures.
const (
	schemeStandard = "standard-webhooks"
	schemeHMAC     = "hmac-sha256"
	overBody       = "body"
	overTimestamp  = "timestamp.body"

	minSecretBytes = 16
	// Standard Webhooks asks for secrets of 24 to 64 bytes.
	minStandardBytes = 24
	maxStandardBytes = 64
)

func (s Signature) validate(p *problems, at string, verifies bool) {
	switch s.Scheme {
	case "":
		p.check(len(s.Secrets) == 0, at+"scheme", "is required with secrets")
		return
	case schemeStandard:
		_, err := standardKeys(s.Secrets)
		p.add(at+"secrets", err)
	case schemeHMAC:
		secrets, err := readSecrets(s.Secrets, minSecretBytes)
		p.add(at+"secrets", err)
		p.check(err != nil || verifies || len(secrets) == 1, at+"secrets", "must be one: hmac-sha256 signs once")
	default:
		p.check(false, at+"scheme", "must be standard-webhooks or hmac-sha256")
	}
	for key, name := range map[string]string{"header": s.Header, "timestamp_header": s.TimestampHeader} {
		p.check(name == "" || httpguts.ValidHeaderFieldName(name), at+key, "must be a header's name")
	}
	p.check(s.Over == "" || s.Over == overBody || s.Over == overTimestamp, at+"over", "must be body or timestamp.body")
	p.check(s.Encoding == "" || s.Encoding == "hex" || s.Encoding == "base64", at+"encoding", "must be hex or base64")
	p.check(httpguts.ValidHeaderFieldValue(s.Prefix), at+"prefix", "must be one line")
	p.check(s.Tolerance > 0 && s.Tolerance <= maxDuration, at+"tolerance", "must be above 0 and at most %v", maxDuration)
}

// readSecrets reads each secret of a list.
func readSecrets(list []channel.Secret, atLeast int) ([]string, error) {
	if len(list) == 0 || len(list) > maxSecrets {
		return nil, fmt.Errorf("must be 1 to %d", maxSecrets)
	}
	out := make([]string, len(list))
	for i, s := range list {
		secret, err := s.Read()
		if err != nil {
			return nil, fmt.Errorf("%d: %w", i+1, err)
		}
		if len(secret) < atLeast {
			return nil, fmt.Errorf("%d: must have at least %d bytes", i+1, atLeast)
		}
		out[i] = secret
	}
	return out, nil
}

// standardKeys reads secrets of Standard Webhooks: base64, with or without whsec_.
func standardKeys(list []channel.Secret) ([]*standardwebhooks.Webhook, error) {
	secrets, err := readSecrets(list, 0)
	if err != nil {
		return nil, err
	}
	out := make([]*standardwebhooks.Webhook, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) < minStandardBytes || len(key) > maxStandardBytes {
			return nil, fmt.Errorf("%d: must be %d to %d bytes in base64, after whsec_", i+1, minStandardBytes, maxStandardBytes)
		}
		if out[i], err = standardwebhooks.NewWebhookRaw(key); err != nil {
			return nil, fmt.Errorf("%d: cannot be used", i+1)
		}
	}
	return out, nil
}

// signer signs and verifies bodies with the settings of a Signature.
type signer struct {
	s        Signature
	standard []*standardwebhooks.Webhook
	secrets  []string
}

// newSigner returns nil for settings without a scheme.
func newSigner(s Signature) (*signer, error) {
	s.Header = cmp.Or(s.Header, "X-Signature")
	s.TimestampHeader = cmp.Or(s.TimestampHeader, "X-Timestamp")
	s.Over = cmp.Or(s.Over, overTimestamp)
	out := &signer{s: s}
	var err error
	switch s.Scheme {
	case "":
		return nil, nil
	case schemeStandard:
		out.standard, err = standardKeys(s.Secrets)
	default:
		out.secrets, err = readSecrets(s.Secrets, minSecretBytes)
	}
	return out, err
}

// sign adds the headers of a signature. id names the message; a message sent again under
// it is the same one.
func (s *signer) sign(h http.Header, id string, now time.Time, body []byte) error {
	if s == nil {
		return nil
	}
	timestamp := strconv.FormatInt(now.Unix(), 10)
	if s.s.Scheme == schemeStandard {
		signatures := make([]string, len(s.standard))
		for i, key := range s.standard {
			var err error
			if signatures[i], err = key.Sign(id, now, body); err != nil {
				return fmt.Errorf("signing a request: %w", err)
			}
		}
		h.Set(standardwebhooks.HeaderWebhookID, id)
		h.Set(standardwebhooks.HeaderWebhookTimestamp, timestamp)
		h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
		return nil
	}
	if s.s.Over == overTimestamp {
		h.Set(s.s.TimestampHeader, timestamp)
	}
	h.Set(s.s.Header, s.s.Prefix+s.encode(s.mac(s.secrets[0], timestamp, body)))
	return nil
}

func (s *signer) mac(secret, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	if s.s.Over == overTimestamp {
		h.Write([]byte(timestamp + "."))
	}
	h.Write(body)
	return h.Sum(nil)
}

func (s *signer) encode(mac []byte) string {
	if s.s.Encoding == "base64" {
		return base64.StdEncoding.EncodeToString(mac)
	}
	return hex.EncodeToString(mac)
}

// Why a signature does not verify. None holds what was sent.
var (
	errNoSignature = errors.New("the request has no readable signature")
	errSignature   = errors.New("the signature is not one of the route's secrets")
	errTimestamp   = errors.New("the signature's timestamp is too far from now")
)

// verify compares in constant time.
func (s *signer) verify(h http.Header, now time.Time, body []byte) error {
	if s.s.Scheme == schemeStandard {
		if err := s.fresh(h.Get(standardwebhooks.HeaderWebhookTimestamp), now); err != nil {
			return err
		}
		for _, key := range s.standard {
			if key.VerifyIgnoringTimestamp(body, h) == nil {
				return nil
			}
		}
		return errSignature
	}
	timestamp := ""
	if s.s.Over == overTimestamp {
		timestamp = h.Get(s.s.TimestampHeader)
		if err := s.fresh(timestamp, now); err != nil {
			return err
		}
	}
	encoded, ok := strings.CutPrefix(h.Get(s.s.Header), s.s.Prefix)
	if !ok || encoded == "" {
		return errNoSignature
	}
	if s.s.Encoding != "base64" {
		encoded = strings.ToLower(encoded)
	}
	for _, secret := range s.secrets {
		if hmac.Equal([]byte(encoded), []byte(s.encode(s.mac(secret, timestamp, body)))) {
			return nil
		}
	}
	return errSignature
}

func (s *signer) fresh(timestamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != timestamp {
		return errNoSignature
	}
	if at := time.Unix(seconds, 0); now.Sub(at) > s.s.Tolerance || at.Sub(now) > s.s.Tolerance {
		return errTimestamp
	}
	return nil
}
