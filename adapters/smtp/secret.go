package smtp

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// maxSecretBytes bounds what is read of a file that holds a secret.
const maxSecretBytes = 16 << 10

// Secret names where a secret is found. The configuration never holds the secret.
type Secret struct {
	File string `yaml:"file" doc:"a file that holds the secret; a line break at its end is cut"`
	Env  string `yaml:"env" doc:"an environment variable that holds the secret"`
}

func (s Secret) given() bool { return s.File != "" || s.Env != "" }

// read returns the secret. Its errors never hold a part of it.
func (s Secret) read() ([]byte, error) {
	switch {
	case s.File != "" && s.Env != "":
		return nil, errors.New("names a file and an environment variable; one is allowed")
	case s.File != "":
		b, err := readBounded(s.File)
		if err != nil {
			return nil, err
		}
		if b = []byte(strings.TrimRight(string(b), "\r\n")); len(b) == 0 {
			return nil, errors.New("names a file that is empty")
		}
		return b, nil
	case s.Env != "":
		if v := os.Getenv(s.Env); v != "" {
			return []byte(v), nil
		}
		return nil, errors.New("names an environment variable that is not set")
	}
	return nil, errors.New("names neither a file nor an environment variable")
}

// readBounded reads a small file.
func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("names a file that cannot be read: %w", err)
	}
	if info.Size() > maxSecretBytes {
		return nil, fmt.Errorf("names a file of %d bytes; at most %d are allowed", info.Size(), maxSecretBytes)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("names a file that cannot be read: %w", err)
	}
	return b, nil
}
