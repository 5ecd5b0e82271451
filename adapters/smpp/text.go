package smpp

import (
	"fmt"
	"unicode/utf16"

	"github.com/warthog618/sms/encoding/gsm7/charset"

	"recapito/adapters/smpp/wire"
	"recapito/domain/event"
)

// Limits of a text (3GPP TS 23.038, 23.040), in septets or UTF-16 units.
const (
	MaxUnits = 10

	septetsSingle = 160
	septetsPart   = 153 // 140 octets less a user data header of 6
	unitsSingle   = 70
	unitsPart     = 67
)

// escape leads to the GSM extension table: a character there takes two septets.
const escape = 0x1B

var (
	gsmBasic    = charset.DefaultEncoder()
	gsmExtended = charset.DefaultExtEncoder()
)

// segments is a text cut for the wire, each part in the octets of its coding.
type segments struct {
	coding byte
	parts  [][]byte
}

// split encodes a text in GSM-7 (one septet an octet, as SMPP has it) or, if that
// lacks a character, in UCS-2, and cuts it. It never cuts an escape pair or a
// surrogate pair.
func split(text string) (segments, error) {
	s := segments{coding: wire.CodingDefault}
	chars, ok := septets(text)
	single, part := septetsSingle, septetsPart
	if !ok {
		s.coding = wire.CodingUCS2
		chars = units(text)
		single, part = 2*unitsSingle, 2*unitsPart
	}
	s.parts = cut(chars, single, part)
	if len(s.parts) > MaxUnits {
		return segments{}, &event.Rule{
			Code:    "text_too_long",
			Message: fmt.Sprintf("the text makes more than %d parts", MaxUnits),
		}
	}
	return s, nil
}

// septets is the text character by character in GSM-7; false if it cannot be.
func septets(text string) ([][]byte, bool) {
	out := make([][]byte, 0, len(text))
	for _, c := range text {
		if b, ok := gsmBasic[c]; ok && b != escape {
			out = append(out, []byte{b})
		} else if b, ok := gsmExtended[c]; ok {
			out = append(out, []byte{escape, b})
		} else {
			return nil, false
		}
	}
	return out, true
}

// units is the text character by character in UTF-16, big endian.
func units(text string) [][]byte {
	out := make([][]byte, 0, len(text))
	for _, c := range text {
		var b []byte
		for _, u := range utf16.AppendRune(nil, c) {
			b = append(b, byte(u>>8), byte(u))
		}
		out = append(out, b)
	}
	return out
}

// cut joins characters into one part of at most single octets, or into several of
// at most part octets.
func cut(chars [][]byte, single, part int) [][]byte {
	total := 0
	for _, c := range chars {
		total += len(c)
	}
	limit := part
	if total <= single {
		limit = single
	}
	parts := [][]byte{nil}
	for _, c := range chars {
		last := len(parts) - 1
		if len(parts[last])+len(c) > limit {
			parts = append(parts, nil)
			last++
		}
		parts[last] = append(parts[last], c...)
	}
	return parts
}

// header is the user data header of a part, with an 8-bit reference (3GPP TS
// 23.040, 9.2.3.24.1). Parts count from 1.
func header(reference byte, total, part int) []byte {
	return []byte{0x05, 0x00, 0x03, reference, byte(total), byte(part)}
}
