package event

import "reflect"

var bytesType = reflect.TypeFor[[]byte]()

// Description is what docs/events.md has of an event.
type Description struct {
	Name   string
	Doc    string
	Go     string   // its type: package.Name
	Old    []string // names it was stored under before, oldest first
	Fields []FieldDescription
}

// FieldDescription is one member of an event, or of an object in it.
type FieldDescription struct {
	// Path is the member's name, those of nested objects joined by dots; [] stands
	// for each of a list, {} for each of a map.
	Path     string
	Type     string // JSON: string, number, boolean, object, time, any; personal
	Doc      string // the struct tag `doc`
	Personal bool   // sealed in the store
	Optional bool   // left out when empty
}

// Describe returns what every event holds, sorted by name.
func (c *Codec) Describe() []Description {
	all := make([]Description, 0, len(c.names))
	for _, name := range c.names {
		e := c.byName[name]
		d := Description{Name: name, Doc: e.def.doc, Go: e.def.typ.String()}
		for _, u := range e.def.upcasts {
			d.Old = append(d.Old, u.name)
		}
		d.describe(e.plan, "")
		all = append(all, d)
	}
	return all
}

func (d *Description) describe(p *plan, prefix string) {
	for _, f := range p.fields {
		path := prefix + f.name
		inner, suffix := f.plan, ""
		for inner.elem != nil && inner.typ != bytesType {
			switch inner.typ.Kind() {
			case reflect.Slice, reflect.Array:
				suffix += "[]"
			case reflect.Map:
				suffix += "{}"
			}
			inner = inner.elem
		}
		d.Fields = append(d.Fields, FieldDescription{
			Path: path + suffix, Type: jsonType(inner), Doc: f.doc,
			Personal: inner.kind == planValue, Optional: f.omitEmpty || f.omitZero,
		})
		if len(inner.fields) > 0 {
			d.describe(inner, path+suffix+".")
		}
	}
}

func jsonType(p *plan) string {
	switch t := p.typ; {
	case p.kind == planValue:
		return "personal"
	case t == timeType:
		return "time"
	case t == rawType:
		return "any"
	case t == numberType:
		return "number"
	case p.own, t == bytesType:
		return "string"
	default:
		switch t.Kind() {
		case reflect.String:
			return "string"
		case reflect.Bool:
			return "boolean"
		case reflect.Struct:
			return "object"
		default:
			return "number"
		}
	}
}
