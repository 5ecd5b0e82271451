package channel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// MaxSecretBytes bounds a secret.
const MaxSecretBytes = 64 << 10

// Secret is a setting that is never printed. One of its members is given.
type Secret struct {
	File  string `yaml:"file" doc:"a file that holds the secret; a line break at its end is cut"`
	Env   string `yaml:"env" doc:"an environment variable that holds the secret"`
	Value string `yaml:"value" doc:"the secret itself; a file or a variable is better kept"`
}

// Given reports whether a member is set.
func (s Secret) Given() bool { return s != Secret{} }

// Read returns the secret. Its errors never hold a part of it.
func (s Secret) Read() (string, error) {
	given := 0
	for _, v := range []string{s.File, s.Env, s.Value} {
		if v != "" {
			given++
		}
	}
	if given != 1 {
		return "", errors.New("must have one of file, env and value")
	}
	secret := s.Value
	switch {
	case s.File != "":
		f, err := os.Open(s.File)
		if err != nil {
			return "", fmt.Errorf("names a file that cannot be read: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, MaxSecretBytes+1))
		_ = f.Close() // it was only read
		if err != nil {
			return "", fmt.Errorf("names a file that cannot be read: %w", err)
		}
		secret = strings.TrimRight(string(b), "\r\n")
	case s.Env != "":
		secret = os.Getenv(s.Env)
	}
	switch {
	case secret == "":
		return "", errors.New("is empty")
	case len(secret) > MaxSecretBytes:
		return "", fmt.Errorf("has more than %d bytes", MaxSecretBytes)
	}
	return secret, nil
}

// String hides the secret.
func (s Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
