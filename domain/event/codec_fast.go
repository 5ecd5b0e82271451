package event

import (
	"encoding/json"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"
)

// Most events are read again and again, by every projection and every load of an
// aggregate, and all of them were written by this codec: an object without white space,
// its members in the order of the type's fields. decodeOwn reads that form in one go, a
// few times as fast as encoding/json, and leaves everything else to it.

// decodeOwn decodes data into the zero struct v as encoding/json would. If it answers
// false it is not of our own form, or not valid, and v holds anything.
func (p *plan) decodeOwn(data []byte, v reflect.Value) bool {
	s := ownForm{data: data}
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return s.at == len(data)
	}
	next := 0
	for {
		key, ok := s.text()
		if !ok || !s.take(':') {
			return false
		}
		// Only onwards: a member that comes twice, or out of order, is not our form.
		for next < len(p.fields) && p.fields[next].name != string(key) {
			next++
		}
		if next == len(p.fields) || !s.value(&p.fields[next], v) {
			return false
		}
		next++
		if s.take('}') {
			return s.at == len(data)
		}
		if !s.take(',') {
			return false
		}
	}
}

type ownForm struct {
	data []byte
	at   int
}

func (s *ownForm) take(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// text takes a string without escapes and answers what is between its quotes.
func (s *ownForm) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	begin, ascii := s.at, true
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; {
		case c == '"':
			text := s.data[begin:s.at]
			s.at++
			return text, ascii || utf8.Valid(text)
		case c == '\\' || c < ' ':
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, false
}

// value takes a member's value into its field.
func (s *ownForm) value(f *field, v reflect.Value) bool {
	to := v.FieldByIndex(f.index)
	switch {
	case f.plan.typ == timeType:
		begin := s.at
		if _, ok := s.text(); !ok {
			return false
		}
		return to.Addr().Interface().(*time.Time).UnmarshalJSON(s.data[begin:s.at]) == nil
	case f.plan.kind == planLeaf && !f.plan.own:
		switch to.Kind() {
		case reflect.String:
			text, ok := s.text()
			if ok {
				to.SetString(string(text))
			}
			return ok
		case reflect.Bool:
			text := s.word()
			to.SetBool(text == "true")
			return text == "true" || text == "false"
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			n, err := strconv.ParseInt(s.word(), 10, to.Type().Bits())
			to.SetInt(n)
			return err == nil
		}
	}
	raw, ok := s.raw()
	return ok && json.Unmarshal(raw, to.Addr().Interface()) == nil
}

// word takes what a number or a name is made of. What JSON would not take as a number,
// such as a leading zero, is no word.
func (s *ownForm) word() string {
	begin := s.at
	for s.at < len(s.data) && (s.data[s.at] == '-' || s.data[s.at] >= '0' && s.data[s.at] <= '9' || s.data[s.at] >= 'a' && s.data[s.at] <= 'z') {
		s.at++
	}
	word := s.data[begin:s.at]
	digits := word
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 1 && digits[0] == '0' {
		return ""
	}
	return string(word)
}

// raw takes any value; whether it is valid is for encoding/json to say.
func (s *ownForm) raw() ([]byte, bool) {
	begin, depth := s.at, 0
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case '"':
			if !s.quoted() {
				return nil, false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.data[begin:s.at], true
			}
			depth--
		case ',':
			if depth == 0 {
				return s.data[begin:s.at], true
			}
		}
		s.at++
	}
	return nil, false
}

// quoted passes a string, with escapes.
func (s *ownForm) quoted() bool {
	for s.at++; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return true
		}
	}
	return false
}
