package sealing_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"recapito/commands/sealing"
	"recapito/domain/personal"
)

// TestLargeValuesAreCompressed: they open as they were, their commitment is over the clear
// value, and the stored form says how they are compressed.
func TestLargeValuesAreCompressed(t *testing.T) {
	w := newWorld(t)
	ref, place := w.person(t, "", number), []byte("notification-1\n/plan")
	noise := make([]byte, 4096)
	rand.Read(noise)
	for name, test := range map[string]struct {
		clear       []byte
		compression string
	}{
		"small":            {[]byte(strings.Repeat("a", 1000)), ""},
		"a document":       {[]byte(`{"html":"` + strings.Repeat("<p>Your appointment is on Monday.</p>", 1000) + `"}`), "zstd"},
		"as large as ever": {noise, ""},
		"empty":            {nil, ""},
	} {
		sealed, err := w.Seal(t.Context(), "acme", ref, place, test.clear)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if sealed.Compression != test.compression {
			t.Errorf("%s: compressed by %q, want %q", name, sealed.Compression, test.compression)
		}
		if test.compression != "" && len(sealed.Ciphertext) > len(test.clear)/10 {
			t.Errorf("%s: %d bytes of %d", name, len(sealed.Ciphertext), len(test.clear))
		}
		clear, r, gone, err := w.Reveal(t.Context(), "acme", sealed, place)
		if err != nil || gone || !bytes.Equal(clear, test.clear) || !sealed.Commits(r, place, test.clear) {
			t.Errorf("%s: opened %d bytes, erased %v, %v", name, len(clear), gone, err)
		}
		stored, err := personal.New(ref, string(test.clear)).Seal(t.Context(), w, "acme", string(place))
		if err != nil {
			t.Fatal(err)
		}
		var read personal.Value
		if err := json.Unmarshal(stored, &read); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		opened, err := read.Open(t.Context(), w, "acme", string(place))
		if got, ok := opened.Clear(); err != nil || !ok || got != string(test.clear) {
			t.Errorf("%s: stored and read: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestCompressionThatIsNotItsOwn: another name of compression, or a value that would grow
// without bound, is damaged, and takes no memory.
func TestCompressionThatIsNotItsOwn(t *testing.T) {
	w := newWorld(t)
	ref, place := w.person(t, "", number), []byte("notification-1\n/plan")
	seal := func(clear []byte) personal.Sealed {
		s, err := w.Seal(t.Context(), "acme", ref, place, clear)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 64<<10) // so that it is sealed as it is
	rand.Read(noise)
	bomb := z.EncodeAll(make([]byte, 64<<20), z.EncodeAll(noise, nil)) // 64 MiB in a few kilobytes
	for name, s := range map[string]personal.Sealed{
		"another name":   func() personal.Sealed { s := seal([]byte(number)); s.Compression = "br"; return s }(),
		"not compressed": func() personal.Sealed { s := seal([]byte(number)); s.Compression = "zstd"; return s }(),
		"taken off": func() personal.Sealed {
			s := seal([]byte(strings.Repeat(number, 1000)))
			s.Compression = ""
			return s
		}(),
		"a bomb": func() personal.Sealed { s := seal(bomb); s.Compression = "zstd"; return s }(),
	} {
		if _, gone, err := w.Open(t.Context(), "acme", s, place); !errors.Is(err, sealing.ErrDamaged) || gone {
			t.Errorf("%s: erased %v, %v", name, gone, err)
		}
	}
}
