package event

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"recapito/domain/personal"
)

// plan is how a type is walked; made once a type. Members of an event without personal
// values are leaves, left to encoding/json as they are.
type plan struct {
	kind   planKind
	typ    reflect.Type
	fields []field // of a struct, a leaf too (for Describe)
	elem   *plan   // of a pointer, slice, array or map, a leaf too
	own    bool    // a leaf that marshals itself
}

type planKind uint8

const (
	planLeaf planKind = iota
	planValue
	planStruct
	planPointer
	planList
	planMap
)

type field struct {
	index               []int // through embedded structs
	name                string
	key                 []byte // `"name":`
	segment             string // "/name", escaped
	plan                *plan
	omitEmpty, omitZero bool
	zero                func(reflect.Value) bool
	doc                 string
}

var (
	valueType         = reflect.TypeFor[personal.Value]()
	timeType          = reflect.TypeFor[time.Time]()
	rawType           = reflect.TypeFor[json.RawMessage]()
	numberType        = reflect.TypeFor[json.Number]() // encoding/json writes it unquoted
	jsonMarshalerType = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	isZeroerType      = reflect.TypeFor[interface{ IsZero() bool }]()
)

func planOf(t reflect.Type) (*plan, error) { return planType(t, nil) }

func planType(t reflect.Type, above []reflect.Type) (*plan, error) {
	if t == valueType {
		return &plan{kind: planValue, typ: t}, nil
	}
	if marshalsItself(t) {
		if holdsValue(t, nil) {
			return nil, fmt.Errorf("%v marshals itself and holds a personal value", t)
		}
		return &plan{typ: t, own: true}, nil
	}
	if slices.Contains(above, t) {
		return nil, fmt.Errorf("%v holds itself", t)
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return nil, fmt.Errorf("%v cannot be stored: an event's types are concrete", t)
	case reflect.Pointer:
		return planElem(planPointer, t, above)
	case reflect.Slice, reflect.Array:
		return planElem(planList, t, above)
	case reflect.Map:
		p, err := planElem(planMap, t, above)
		if err == nil && p.kind == planMap && (t.Key().Kind() != reflect.String || marshalsItself(t.Key())) {
			return nil, fmt.Errorf("%v: a map with personal values needs plain string keys", t)
		}
		return p, err
	case reflect.Struct:
		return planStructOf(t, above)
	default:
		return &plan{typ: t}, nil
	}
}

func planElem(kind planKind, t reflect.Type, above []reflect.Type) (*plan, error) {
	elem, err := planType(t.Elem(), above)
	if err != nil {
		return nil, err
	}
	if elem.kind == planLeaf {
		return &plan{typ: t, elem: elem}, nil
	}
	return &plan{kind: kind, typ: t, elem: elem}, nil
}

func planStructOf(t reflect.Type, above []reflect.Type) (*plan, error) {
	p := &plan{kind: planStruct, typ: t}
	if err := p.addFields(t, nil, above); err != nil {
		return nil, err
	}
	personalInside := false
	names := map[string]bool{}
	for _, f := range p.fields {
		personalInside = personalInside || f.plan.kind != planLeaf
		if names[f.name] {
			return nil, fmt.Errorf("%v has two members named %s", t, f.name)
		}
		names[f.name] = true
	}
	// A struct of leaves is a leaf itself; it keeps its fields for Describe.
	if !personalInside {
		p.kind = planLeaf
	}
	return p, nil
}

func (p *plan) addFields(t reflect.Type, at []int, above []reflect.Type) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("json")
		if !sf.IsExported() && !(sf.Anonymous && sf.Type.Kind() == reflect.Struct) || tag == "-" {
			if holdsValue(sf.Type, nil) {
				return fmt.Errorf("%v.%s holds a personal value that JSON does not reach", t, sf.Name)
			}
			continue
		}
		index := append(slices.Clone(at), i)
		name, options, _ := strings.Cut(tag, ",")
		if sf.Anonymous && name == "" && !marshalsItself(sf.Type) && sf.Type != valueType {
			if sf.Type.Kind() != reflect.Struct {
				return fmt.Errorf("%v embeds %v: only structs can be embedded", t, sf.Type)
			}
			if err := p.addFields(sf.Type, index, above); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = sf.Name
		}
		inner, err := planType(sf.Type, above)
		if err != nil {
			return fmt.Errorf("%s: %w", sf.Name, err)
		}
		f := field{index: index, name: name, plan: inner, segment: "/" + escapePointer(name), doc: sf.Tag.Get("doc")}
		for o := range strings.SplitSeq(options, ",") {
			switch o {
			case "omitempty":
				f.omitEmpty = true
			case "omitzero":
				f.omitZero = true
			case "":
			default:
				return fmt.Errorf("%v.%s: the JSON option %q is not supported", t, sf.Name, o)
			}
		}
		f.zero = reflect.Value.IsZero
		if sf.Type.Implements(isZeroerType) && sf.Type.Kind() != reflect.Pointer {
			f.zero = func(v reflect.Value) bool { return v.Interface().(interface{ IsZero() bool }).IsZero() }
		}
		f.key = append(appendString(nil, name), ':')
		p.fields = append(p.fields, f)
	}
	return nil
}

// marshalsItself reports whether encoding/json would leave a value of the type to the
// type's own methods. A pointer is followed, not asked: it has its element's methods.
func marshalsItself(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return false
	}
	return t == timeType || t == rawType || t == numberType || t.Implements(jsonMarshalerType) || t.Implements(textMarshalerType) ||
		reflect.PointerTo(t).Implements(jsonMarshalerType) || reflect.PointerTo(t).Implements(textMarshalerType)
}

// holdsValue looks for personal values wherever they may hide, reachable by JSON or not.
func holdsValue(t reflect.Type, above []reflect.Type) bool {
	if t == valueType {
		return true
	}
	if slices.Contains(above, t) {
		return false
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsValue(t.Elem(), above)
	case reflect.Map:
		return holdsValue(t.Key(), above) || holdsValue(t.Elem(), above)
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsValue(t.Field(i).Type, above) {
				return true
			}
		}
	}
	return false
}

// escapePointer writes a member's name as a reference token of RFC 6901.
func escapePointer(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return pointerEscapes.Replace(name)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
