package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"recapito/domain/personal"
)

// Most events are read again and again, by every projection and every load of an
// aggregate, and all of them were written by this codec: an object without white space,
// its members in the order of the type's fields. decodeOwn reads that form in one go, a
// few times as fast as encoding/json, and leaves everything else to it.

// decodeOwn decodes data into the zero struct v as encoding/json would. If it returns
// false it is not of our own form, or not valid, and v holds anything.
func (p *plan) decodeOwn(data []byte, v reflect.Value) bool {
	s := ownForm{data: data}
	return s.object(p, v) && s.at == len(data)
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

// text takes a string without escapes and returns what is between its quotes.
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

// anyText takes a string, with escapes too.
func (s *ownForm) anyText() (string, bool) {
	begin := s.at
	if text, ok := s.text(); ok {
		return string(text), true
	}
	s.at = begin
	if begin == len(s.data) || s.data[begin] != '"' || !s.quoted() {
		return "", false
	}
	var text string
	err := json.Unmarshal(s.data[begin:s.at], &text)
	return text, err == nil
}

// object takes a struct's members.
func (s *ownForm) object(p *plan, v reflect.Value) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
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
		if next == len(p.fields) || !s.value(p.fields[next].plan, v.FieldByIndex(p.fields[next].index)) {
			return false
		}
		next++
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// value takes a value of a plan's type.
func (s *ownForm) value(p *plan, to reflect.Value) bool {
	switch {
	case p.typ == timeType:
		begin := s.at
		if _, ok := s.text(); !ok {
			return false
		}
		return to.Addr().Interface().(*time.Time).UnmarshalJSON(s.data[begin:s.at]) == nil
	case p.kind == planValue:
		raw, ok := s.raw()
		return ok && to.Addr().Interface().(*personal.Value).UnmarshalJSON(raw) == nil
	case !p.own:
		switch to.Kind() {
		case reflect.String:
			text, ok := s.anyText()
			to.SetString(text)
			return ok
		case reflect.Bool:
			text := s.word()
			to.SetBool(text == "true")
			return text == "true" || text == "false"
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			n, err := strconv.ParseInt(s.word(), 10, to.Type().Bits())
			to.SetInt(n)
			return err == nil
		case reflect.Struct:
			return s.object(p, to)
		case reflect.Slice:
			return s.list(p, to)
		case reflect.Map:
			if p.typ.Key().Kind() == reflect.String && !marshalsItself(p.typ.Key()) {
				return s.members(p, to)
			}
		}
	}
	raw, ok := s.raw()
	return ok && json.Unmarshal(raw, to.Addr().Interface()) == nil
}

// list takes a slice; bytes are base64.
func (s *ownForm) list(p *plan, to reflect.Value) bool {
	if s.null() {
		return true
	}
	if p.typ.Elem().Kind() == reflect.Uint8 {
		text, ok := s.text()
		if !ok || p.elem.own {
			return false
		}
		decoded, err := base64.StdEncoding.AppendDecode([]byte{}, text)
		to.SetBytes(decoded)
		return err == nil
	}
	if !s.take('[') {
		return false
	}
	to.Set(reflect.MakeSlice(p.typ, 0, 0))
	if s.take(']') {
		return true
	}
	for i := 0; ; i++ {
		if i == to.Cap() {
			to.Grow(1)
		}
		to.SetLen(i + 1)
		to.Index(i).SetZero()
		if !s.value(p.elem, to.Index(i)) {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// members takes a map.
func (s *ownForm) members(p *plan, to reflect.Value) bool {
	if s.null() {
		return true
	}
	if !s.take('{') {
		return false
	}
	to.Set(reflect.MakeMap(p.typ))
	if s.take('}') {
		return true
	}
	for {
		key, ok := s.anyText()
		if !ok || !s.take(':') {
			return false
		}
		name, elem := reflect.New(p.typ.Key()).Elem(), reflect.New(p.typ.Elem()).Elem()
		name.SetString(key)
		if !s.value(p.elem, elem) {
			return false
		}
		to.SetMapIndex(name, elem)
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// null takes what a nil slice or map is written as.
func (s *ownForm) null() bool {
	if !bytes.HasPrefix(s.data[s.at:], []byte("null")) {
		return false
	}
	s.at += len("null")
	return true
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
