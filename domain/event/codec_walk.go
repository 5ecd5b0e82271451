package event

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"recapito/domain/personal"
)

// writer encodes one event. It reads the caller's event and changes nothing in it.
type writer struct {
	ctx    context.Context
	sealer personal.Sealer
	tenant string
	place  string // stream, newline and the JSON Pointer of the value at hand
	out    bytes.Buffer
}

func (w *writer) write(p *plan, v reflect.Value) error {
	switch p.kind {
	case planValue:
		data, err := v.Interface().(personal.Value).Seal(w.ctx, w.sealer, w.tenant, w.place)
		if err != nil {
			return err
		}
		w.out.Write(data)
		return nil
	case planStruct:
		return w.writeStruct(p, v)
	case planPointer:
		if v.IsNil() {
			w.out.WriteString("null")
			return nil
		}
		return w.write(p.elem, v.Elem())
	case planList:
		return w.writeList(p, v)
	case planMap:
		return w.writeMap(p, v)
	default:
		return w.writeLeaf(p, v)
	}
}

func (w *writer) writeStruct(p *plan, v reflect.Value) error {
	w.out.WriteByte('{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.FieldByIndex(f.index)
		if f.omitEmpty && isEmpty(fv) || f.omitZero && f.zero(fv) {
			continue
		}
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		w.out.Write(f.key)
		if err := w.at(f.segment, f.plan, fv); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *writer) writeList(p *plan, v reflect.Value) error {
	if v.Kind() == reflect.Slice && v.IsNil() {
		w.out.WriteString("null")
		return nil
	}
	w.out.WriteByte('[')
	for i := range v.Len() {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.at("/"+strconv.Itoa(i), p.elem, v.Index(i)); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

func (w *writer) writeMap(p *plan, v reflect.Value) error {
	if v.IsNil() {
		w.out.WriteString("null")
		return nil
	}
	w.out.WriteByte('{')
	for i, k := range sortedKeys(v) {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.out.Write(append(appendString(w.out.AvailableBuffer(), k.String()), ':'))
		if err := w.at("/"+escapePointer(k.String()), p.elem, v.MapIndex(k)); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

// at writes a part of the event one step deeper.
func (w *writer) at(segment string, p *plan, v reflect.Value) error {
	if p.kind == planLeaf {
		return w.writeLeaf(p, v)
	}
	above := w.place
	w.place += segment
	err := w.write(p, v)
	w.place = above
	return err
}

// writeLeaf writes a part without personal values as encoding/json does; the common
// plain kinds without going through it.
func (w *writer) writeLeaf(p *plan, v reflect.Value) error {
	b := w.out.AvailableBuffer()
	if !p.own {
		switch v.Kind() {
		case reflect.String:
			w.out.Write(appendString(b, v.String()))
			return nil
		case reflect.Bool:
			w.out.Write(strconv.AppendBool(b, v.Bool()))
			return nil
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			w.out.Write(strconv.AppendInt(b, v.Int(), 10))
			return nil
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			w.out.Write(strconv.AppendUint(b, v.Uint(), 10))
			return nil
		}
	}
	data, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	w.out.Write(data)
	return nil
}

// opener opens the values of an event that encoding/json has just decoded, in place.
type opener struct {
	ctx    context.Context
	sealer personal.Sealer
	tenant string
	place  string // stream and newline
	upcast bool   // values may stand elsewhere than they were sealed for
	path   []byte
}

func (o *opener) open(p *plan, v reflect.Value) error {
	switch p.kind {
	case planValue:
		opened, err := o.value(v.Interface().(personal.Value))
		if err != nil {
			return fmt.Errorf("%s: %w", o.path, err)
		}
		v.Set(reflect.ValueOf(opened))
		return nil
	case planStruct:
		for i := range p.fields {
			f := &p.fields[i]
			if f.plan.kind == planLeaf {
				continue
			}
			if err := o.at(f.segment, f.plan, v.FieldByIndex(f.index)); err != nil {
				return err
			}
		}
	case planPointer:
		if !v.IsNil() {
			return o.open(p.elem, v.Elem())
		}
	case planList:
		for i := range v.Len() {
			if err := o.at("/"+strconv.Itoa(i), p.elem, v.Index(i)); err != nil {
				return err
			}
		}
	case planMap:
		return o.openMap(p, v)
	}
	return nil
}

func (o *opener) openMap(p *plan, v reflect.Value) error {
	for _, k := range sortedKeys(v) {
		// What a map holds cannot be set in place.
		elem := reflect.New(p.typ.Elem()).Elem()
		elem.Set(v.MapIndex(k))
		if err := o.at("/"+escapePointer(k.String()), p.elem, elem); err != nil {
			return err
		}
		v.SetMapIndex(k, elem)
	}
	return nil
}

func (o *opener) value(v personal.Value) (personal.Value, error) {
	if !v.IsSealed() {
		return v, nil
	}
	path := string(o.path)
	// Outside an upcast the mark is no mark: an event that claims one is not believed.
	if moved, ok := v.MovedFrom(); ok && o.upcast {
		path = moved
	}
	return v.Open(o.ctx, o.sealer, o.tenant, o.place+path)
}

func (o *opener) at(segment string, p *plan, v reflect.Value) error {
	above := len(o.path)
	o.path = append(o.path, segment...)
	err := o.open(p, v)
	o.path = o.path[:above]
	return err
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	return keys
}

// isEmpty is encoding/json's notion of empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// appendString appends s as encoding/json writes it.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			data, _ := json.Marshal(s) // a string always marshals
			return append(b, data...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
