package event

import (
	"errors"
	"fmt"
)

// Unreadable is a stored event that cannot be taken for what its stream and its type stand
// for: whoever reads it again finds the same. A consumer sets it aside and goes on. It never
// quotes the event.
type Unreadable struct {
	Stream   string
	Revision Revision
	Position Position
	Type     string
	Why      string // a short phrase without anything of the event, e.g. "its data cannot be decoded"

	cause error
}

// NotRead returns an event as unreadable.
func NotRead(r Recorded, why string) *Unreadable {
	return &Unreadable{Stream: r.Stream, Revision: r.Revision, Position: r.Position, Type: r.Type, Why: why}
}

func (e *Unreadable) Error() string {
	return fmt.Sprintf("unreadable event %s, %s@%d, position %d: %s", e.Type, e.Stream, e.Revision, e.Position, e.Why)
}

func (e *Unreadable) Unwrap() error { return e.cause }

// AsUnreadable returns the unreadable event that an error is about: found is false if the
// same may succeed when it is tried again. r is what was being handled: an event of an
// unknown type is unreadable to whoever needs it.
func AsUnreadable(r Recorded, err error) (u *Unreadable, found bool) {
	switch {
	case errors.As(err, &u):
		return u, true
	case errors.Is(err, ErrUnknownType):
		return NotRead(r, "its type is not known"), true
	}
	return nil, false
}

// Guarded runs what handles an event. A panic is an *Unreadable: the event holds what no
// event of its type can hold, and would end every process that meets it.
func Guarded(r Recorded, handle func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			why := "handling it fails"
			if broken, ok := p.(interface {
				error
				RuntimeError()
			}); ok { // these hold indexes and types
				why += ": " + broken.Error()
			}
			err = NotRead(r, why)
		}
	}()
	return handle()
}

// MetadataOf returns an event's metadata. The error is an *Unreadable.
func MetadataOf(r Recorded) (Metadata, error) {
	m, err := DecodeMetadata(r.Metadata)
	if err != nil {
		return m, &Unreadable{r.Stream, r.Revision, r.Position, r.Type, "its metadata cannot be decoded", err}
	}
	return m, nil
}
