package event

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"recapito/domain/personal"
)

// Definition ties a stored name to a Go type. The name is the storage format: it is
// written in one place, never derived from the type's name, never used for anything
// else again. A change of the data that old readers or old events cannot bear is a
// new name plus an Upcast.
type Definition struct {
	name    string
	doc     string
	typ     reflect.Type
	upcasts []upcast
}

// Option completes a definition.
type Option func(*Definition)

// Doc is a sentence about what the event means; docs/events.md shows it.
func Doc(sentence string) Option { return func(d *Definition) { d.doc = sentence } }

// Define registers the struct type T under its stored name. NewCodec checks it.
func Define[T any](name string, opts ...Option) Definition {
	d := Definition{name: name, typ: reflect.TypeFor[T]()}
	for _, o := range opts {
		o(&d)
	}
	return d
}

// NamesOf returns the names, old ones too, under which events are stored that are a T.
func NamesOf[T any](defs []Definition) map[string]bool {
	names := map[string]bool{}
	for _, d := range defs {
		if !d.typ.Implements(reflect.TypeFor[T]()) {
			continue
		}
		names[d.name] = true
		for _, u := range d.upcasts {
			names[u.name] = true
		}
	}
	return names
}

// ErrUnknownType: a stored name, or a Go type, that no definition names.
var ErrUnknownType = errors.New("unknown event type")

// UnknownType names it; errors.Is(err, ErrUnknownType) holds.
type UnknownType struct{ Name string }

func (e *UnknownType) Error() string { return fmt.Sprintf("%v: %s", ErrUnknownType, e.Name) }

// Is makes errors.Is(err, ErrUnknownType) hold.
func (e *UnknownType) Is(target error) bool { return target == ErrUnknownType }

// Codec turns events into bytes and back, and seals and opens every personal.Value in
// them as it does, wherever it stands: in nested structs, pointers, slices, arrays and
// maps with string keys. A value's associated data are stream + "\n" + its JSON Pointer
// (RFC 6901) in the event's data.
//
// Decoding ignores members that the type does not have, so that an old binary reads
// what a newer one wrote; a member that is missing leaves the field zero. A member that
// does not fit its field is an error.
//
// A codec is immutable and safe for concurrent use.
type Codec struct {
	byName map[string]entry
	byType map[reflect.Type]*entry
	names  []string
}

// entry is what a stored name stands for: a definition and, for an old name, how many
// of its upcasts to skip.
type entry struct {
	def  Definition
	plan *plan
	old  bool
	from int // index of the first upcast, if old
}

// NewCodec checks the definitions and plans how each type is walked. A name or a type
// given twice is an error, and so is a type that cannot be stored faithfully: one that
// holds interfaces, or a personal value where JSON would not find it.
func NewCodec(defs ...Definition) (*Codec, error) {
	c := &Codec{byName: map[string]entry{}, byType: map[reflect.Type]*entry{}}
	var problems []error
	name := func(n string, e entry) {
		switch _, twice := c.byName[n]; {
		case n == "":
			problems = append(problems, fmt.Errorf("event type %v has an empty name", e.def.typ))
		case twice:
			problems = append(problems, fmt.Errorf("event name %s is defined twice", n))
		default:
			c.byName[n] = e
		}
	}
	for _, d := range defs {
		if d.typ == nil || d.typ.Kind() != reflect.Struct {
			problems = append(problems, fmt.Errorf("event %s: %v is not a struct", d.name, d.typ))
			continue
		}
		p, err := planOf(d.typ)
		if err != nil {
			problems = append(problems, fmt.Errorf("event %s: %w", d.name, err))
			continue
		}
		e := entry{def: d, plan: p}
		name(d.name, e)
		for i, u := range d.upcasts {
			name(u.name, entry{def: d, plan: p, old: true, from: i})
		}
		if _, twice := c.byType[d.typ]; twice {
			problems = append(problems, fmt.Errorf("event type %v is defined twice", d.typ))
			continue
		}
		c.byType[d.typ] = &e
		c.names = append(c.names, d.name)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	slices.Sort(c.names)
	return c, nil
}

// Names lists the names that events are stored under now, sorted.
func (c *Codec) Names() []string { return slices.Clone(c.names) }

// Encode returns the stored name and data of an event about to be appended to stream,
// its personal values sealed. e is a value of a defined type and is not changed.
func (c *Codec) Encode(ctx context.Context, s personal.Sealer, tenant, stream string, e any) (name string, data []byte, err error) {
	known := c.byType[reflect.TypeOf(e)]
	if known == nil {
		return "", nil, &UnknownType{Name: fmt.Sprintf("%T", e)}
	}
	w := &writer{ctx: ctx, sealer: s, tenant: tenant, place: stream + "\n"}
	if err := w.write(known.plan, reflect.ValueOf(e)); err != nil {
		return "", nil, fmt.Errorf("encoding %s: %w", known.def.name, err)
	}
	return known.def.name, w.out.Bytes(), nil
}

// Decode returns a stored event as a value of its type, its personal values opened: in
// clear, or erased if their key was destroyed. Without a sealer they stay sealed. A key
// store that does not respond is an error. Data that cannot be decoded are an *Unreadable.
func (c *Codec) Decode(ctx context.Context, s personal.Sealer, tenant string, r Recorded) (any, error) {
	known, ok := c.byName[r.Type]
	if !ok {
		return nil, &UnknownType{Name: r.Type}
	}
	data := r.Data
	if known.old {
		var err error
		if data, err = known.def.lift(known.from, data); err != nil {
			return nil, undecodable(r, err)
		}
	}
	target := reflect.New(known.def.typ)
	if !known.plan.decodeOwn(data, target.Elem()) {
		target.Elem().SetZero()
		if err := json.Unmarshal(data, target.Interface()); err != nil {
			return nil, undecodable(r, err)
		}
	}
	o := &opener{ctx: ctx, sealer: s, tenant: tenant, place: r.Stream + "\n", upcast: known.old}
	if err := o.open(known.plan, target.Elem()); err != nil {
		return nil, fmt.Errorf("decoding %s, %s@%d: %w", r.Type, r.Stream, r.Revision, err)
	}
	return target.Elem().Interface(), nil
}

func undecodable(r Recorded, err error) error {
	return &Unreadable{r.Stream, r.Revision, r.Position, r.Type, "its data cannot be decoded", err}
}

// EncodeMetadata returns the stored form of metadata.
func EncodeMetadata(m Metadata) ([]byte, error) {
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding metadata: %w", err)
	}
	return data, nil
}

var metadataPlan = func() *plan {
	p, err := planOf(reflect.TypeFor[Metadata]())
	if err != nil {
		panic(err) // of a type that stands here
	}
	return p
}()

// DecodeMetadata reads what EncodeMetadata wrote; members it does not know are
// ignored, and no bytes at all are the zero Metadata (events of other programs).
func DecodeMetadata(data []byte) (Metadata, error) {
	var m Metadata
	if len(bytes.TrimSpace(data)) == 0 {
		return m, nil
	}
	if metadataPlan.decodeOwn(data, reflect.ValueOf(&m).Elem()) {
		return m, nil
	}
	m = Metadata{}
	if err := json.Unmarshal(data, &m); err != nil {
		return Metadata{}, fmt.Errorf("decoding metadata: %w", err)
	}
	return m, nil
}
