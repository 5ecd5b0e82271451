package smpp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7/charset"
	"pgregory.net/rapid"

	"recapito/adapters/smpp/wire"
	"recapito/domain/content"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
)

func TestParts(t *testing.T) {
	r := &Route{}
	for _, c := range []struct {
		name, text string
		parts      int // 0: too long
	}{
		{"empty", "", 1},
		{"GSM-7 full", strings.Repeat("è", 160), 1},
		{"GSM-7 over", strings.Repeat("è", 161), 2},
		{"GSM-7 most", strings.Repeat("a", 1530), 10},
		{"GSM-7 too long", strings.Repeat("a", 1531), 0},
		{"escapes full", strings.Repeat("€", 80), 1},
		{"escapes over", strings.Repeat("€", 81), 2},
		{"escapes waste a septet a part", strings.Repeat("€", 760), 10},
		{"escapes too long", strings.Repeat("€", 761), 0},
		{"UCS-2 full", strings.Repeat("ж", 70), 1},
		{"UCS-2 over", strings.Repeat("ж", 71), 2},
		{"UCS-2 most", strings.Repeat("ж", 670), 10},
		{"UCS-2 too long", strings.Repeat("ж", 671), 0},
		{"surrogates full", strings.Repeat("😀", 35), 1},
		{"surrogates over", strings.Repeat("😀", 36), 2},
		{"surrogates waste a unit a part", strings.Repeat("😀", 330), 10},
		{"surrogates too long", strings.Repeat("😀", 331), 0},
		{"escape itself", "\x1b", 1},
		{"lower ç is not in GSM-7", strings.Repeat("ç", 71), 2},
	} {
		got, err := r.Units(content.Document{Members: map[string]string{"text": c.text}})
		var rule *event.Rule
		switch {
		case c.parts == 0 && (!errors.As(err, &rule) || rule.Code != "text_too_long"):
			t.Errorf("%s: %v", c.name, err)
		case c.parts != got || c.parts > 0 && err != nil:
			t.Errorf("%s: %d parts, %v", c.name, got, err)
		}
	}
}

// TestSplit: the parts join to the text again, each is whole by itself, and none is
// over its limit.
func TestSplit(t *testing.T) {
	alphabet := rapid.SampledFrom([]rune("abc è€[^]{}\n@£"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(alphabet, 0, 400, -1).Draw(t, "text")
		if rapid.Bool().Draw(t, "wide") {
			text += rapid.StringOfN(rapid.SampledFrom([]rune("ж😀aé")), 1, 300, -1).Draw(t, "wide text")
		}
		s, err := split(text)
		if err != nil {
			return // too long: TestParts knows when
		}
		limit := 140
		if s.coding == wire.CodingDefault {
			limit = septetsSingle
		}
		if len(s.parts) > 1 {
			limit -= 7
			if s.coding == wire.CodingUCS2 {
				limit = 2 * unitsPart
			}
		}
		var joined strings.Builder
		for i, p := range s.parts {
			if len(p) > limit {
				t.Fatalf("part %d of %d octets", i+1, len(p))
			}
			if len(p) == 0 && text != "" {
				t.Fatalf("part %d is empty", i+1)
			}
			joined.WriteString(decode(t, s.coding, p))
		}
		if joined.String() != text {
			t.Fatalf("%q became %q", text, joined.String())
		}
	})
}

func decode(t *rapid.T, coding byte, p []byte) string {
	if coding == wire.CodingUCS2 {
		var units []uint16
		for i := 0; i < len(p); i += 2 {
			units = append(units, uint16(p[i])<<8|uint16(p[i+1]))
		}
		out := string(utf16.Decode(units))
		if strings.ContainsRune(out, '\uFFFD') {
			t.Fatal("half a surrogate pair")
		}
		return out
	}
	basic, extended := charset.DefaultDecoder(), charset.DefaultExtDecoder()
	var out strings.Builder
	for i := 0; i < len(p); i++ {
		if p[i] != escape {
			out.WriteRune(basic[p[i]])
			continue
		}
		if i++; i == len(p) {
			t.Fatal("half an escape pair")
		}
		out.WriteRune(extended[p[i]])
	}
	return out.String()
}

func TestHeader(t *testing.T) {
	if got := header(7, 10, 3); !bytes.Equal(got, []byte{5, 0, 3, 7, 10, 3}) {
		t.Errorf("%x", got)
	}
}
