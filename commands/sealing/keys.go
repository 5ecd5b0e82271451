package sealing

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"recapito/commands"
)

const (
	keyBytes   = 32 // AES-256, HMAC-SHA256
	nonceBytes = 12 // AES-GCM
	// wrapVersion is the first byte of every wrapped key.
	wrapVersion = 1
)

// What each derived key is for. A key has one use; the strings are part of the storage
// format and never change.
const (
	useWrapTenants = "recapito v1: wrap tenant keys"
	useWrapRoutes  = "recapito v1: wrap route keys"
	useWrapSecrets = "recapito v1: wrap secrets"
	useWrapPersons = "recapito v1: wrap person keys"
	useSearch      = "recapito v1: search"
	useRequests    = "recapito v1: request hmac"
)

type masterKeys struct{ tenants, routes, secrets cipher.AEAD }

func newMasterKeys(master []byte) (m masterKeys, err error) {
	if len(master) != keyBytes {
		return m, fmt.Errorf("sealing: the master key has %d bytes, not %d", len(master), keyBytes)
	}
	for use, to := range map[string]*cipher.AEAD{useWrapTenants: &m.tenants, useWrapRoutes: &m.routes, useWrapSecrets: &m.secrets} {
		if *to, err = derivedAEAD(master, use); err != nil {
			return m, err
		}
	}
	return m, nil
}

// tenantKeys are the keys derived from a tenant's key.
type tenantKeys struct {
	wrapping cipher.AEAD
	search   []byte
}

func (s *Sealing) tenantKeys(ctx context.Context, tenant string) (*tenantKeys, error) {
	keys, err := s.tenants.get(tenant, func() (*tenantKeys, error) {
		wrapped, err := s.store.TenantKey(ctx, tenant)
		if errors.Is(err, commands.ErrKeyAbsent) {
			wrapped, err = s.store.CreateTenantKey(ctx, tenant, wrap(s.master.tenants, newKey(), tenantPlace(tenant)))
		}
		if err != nil {
			return nil, err
		}
		raw, err := unwrap(s.master.tenants, wrapped, tenantPlace(tenant))
		if err != nil {
			return nil, err
		}
		wrapping, err := derivedAEAD(raw, useWrapPersons)
		if err != nil {
			return nil, err
		}
		search, err := derive(raw, useSearch)
		if err != nil {
			return nil, err
		}
		return &tenantKeys{wrapping: wrapping, search: search}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("key of a tenant: %w", err)
	}
	return keys, nil
}

// Secret returns a random secret of the installation, MasterKeyBytes long, made when
// it is first asked for: e.g. to sign cursors with.
func (s *Sealing) Secret(ctx context.Context, name string) ([]byte, error) {
	place := joined("secret", name)
	standing, err := s.store.Secret(ctx, name, wrap(s.master.secrets, newKey(), place))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	raw, err := unwrap(s.master.secrets, standing, place)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return raw, nil
}

// The places of wrapped keys: one that is moved to another does not unwrap.
func tenantPlace(tenant string) []byte { return joined("tenant", tenant) }
func personPlace(tenant, person, key string) []byte {
	return joined("person", tenant, person, key)
}
func routePlace(route, id string) []byte { return joined("route", route, id) }

// wrap encrypts a key: version ‖ nonce ‖ ciphertext.
func wrap(under cipher.AEAD, key, place []byte) []byte {
	out := make([]byte, 1+nonceBytes, 1+nonceBytes+len(key)+under.Overhead())
	out[0] = wrapVersion
	rand.Read(out[1:])
	return under.Seal(out, out[1:1+nonceBytes], key, place)
}

func unwrap(under cipher.AEAD, wrapped, place []byte) ([]byte, error) {
	if len(wrapped) <= 1+nonceBytes || wrapped[0] != wrapVersion {
		return nil, fmt.Errorf("wrapped key: %w", ErrDamaged)
	}
	key, err := under.Open(nil, wrapped[1:1+nonceBytes], wrapped[1+nonceBytes:], place)
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("wrapped key: %w", ErrDamaged)
	}
	return key, nil
}

func newKey() []byte {
	k := make([]byte, keyBytes)
	rand.Read(k)
	return k
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func derive(key []byte, use string) ([]byte, error) {
	return hkdf.Key(sha256.New, key, nil, use, keyBytes)
}

func derivedAEAD(key []byte, use string) (cipher.AEAD, error) {
	k, err := derive(key, use)
	if err != nil {
		return nil, err
	}
	return newAEAD(k)
}

// keyedHash is HMAC-SHA256 over the parts, each with its length, so that no two lists
// of parts are the same bytes.
func keyedHash(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(joined(parts...))
	return h.Sum(nil)
}

func joined(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}
