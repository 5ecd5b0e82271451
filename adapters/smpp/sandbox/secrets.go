package sandbox

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyFile  = "smsc.key"
	keyBytes = 32
)

// secrets hash and seal what the journal must not hold in clear.
type secrets struct {
	mac  []byte
	aead cipher.AEAD
}

// openSecrets reads the key file, and makes one for a new journal.
func openSecrets(dir string, create bool) (*secrets, error) {
	path := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		raw, err = makeKey(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal's key: %w", err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	if err != nil || len(key) != keyBytes {
		return nil, fmt.Errorf("%s does not hold a key of %d bytes in hex", keyFile, keyBytes)
	}
	mac, err := hkdf.Key(sha256.New, key, nil, "recapito smsc hash", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the journal's key: %w", err)
	}
	seal, err := hkdf.Key(sha256.New, key, nil, "recapito smsc seal", keyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive the journal's key: %w", err)
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("set up the journal's cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("set up the journal's cipher: %w", err)
	}
	return &secrets{mac: mac, aead: aead}, nil
}

// makeKey writes a new key so that after a crash it is whole or not there.
func makeKey(dir, path string) ([]byte, error) {
	key := make([]byte, keyBytes)
	rand.Read(key)
	raw := []byte(hex.EncodeToString(key) + "\n")
	tmp := path + ".new"
	if err := writeSynced(tmp, raw); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, err
	}
	return raw, syncDir(dir)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// hash is the keyed hash of a value; kind keeps hashes of different things apart.
func (s *secrets) hash(kind string, value []byte) string {
	h := hmac.New(sha256.New, s.mac)
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(value)
	return hex.EncodeToString(h.Sum(nil))
}

func (s *secrets) seal(id string, plain []byte) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(id))
}

func (s *secrets) open(id string, sealed []byte) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(id))
}
