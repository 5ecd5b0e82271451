package event

import (
	"context"
	"errors"
)

// StreamReader reads one stream, as a store does.
type StreamReader interface {
	ReadStream(ctx context.Context, read StreamRead, visit func(Recorded) error) error
}

var errTaken = errors.New("taken")

// Newest hands over the events of a stream from a revision backwards, at most limit of them
// (0: all), until take returns true: events that cannot be read are passed over so. Mostly
// that is the first, and no other is read. It returns the revision of the first, NoStream if
// there is none.
func Newest(ctx context.Context, s StreamReader, stream string, from Revision, limit int, take func(Recorded) bool) (Expected, error) {
	at := NoStream()
	visit := func(r Recorded) error {
		if at.IsNoStream() {
			at = Exact(r.Revision)
		}
		if take(r) {
			return errTaken
		}
		return nil
	}
	read := StreamRead{Stream: stream, From: from, Direction: Backwards, Limit: 1}
	err := s.ReadStream(ctx, read, visit)
	if err == nil {
		read.Limit = limit
		err = s.ReadStream(ctx, read, visit)
	}
	if errors.Is(err, errTaken) || errors.Is(err, ErrStreamNotFound) {
		err = nil
	}
	return at, err
}
