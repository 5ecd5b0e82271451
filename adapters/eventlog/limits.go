package eventlog

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Limits of an append. MaxAppendBytes is EventStoreDB's default, so that moving to it
// refuses nothing that was accepted here.
const (
	MaxEventBytes  = 1 << 20 // data and metadata of one event
	MaxAppendBytes = 1 << 20 // data, metadata and type of all events of one append
	MaxAppendCount = 4096    // events of one append
	MaxStreamBytes = 1024    // a stream's name, without the $$ of a metadata stream
	MaxTypeBytes   = 512     // an event's type
)

// Limits of what is held in memory.
const (
	maxQueuedAppends = 4096    // appends waiting for the writer; more wait in Append
	maxBatchAppends  = 4096    // appends decided for one batch
	maxBatchBytes    = 4 << 20 // encoded events of one batch, exceeded by one append at most
	cachedHeads      = 1 << 15 // stream heads in each of two generations
	recentIDs        = 1 << 15 // event ids in each of two generations
	recentIDsAtOpen  = 4096    // event ids read back when the log is opened
	chunkEvents      = 512     // events a reader holds at a time
	chunkBytes       = 1 << 20 // their bytes, exceeded by one event at most
	chunkScanned     = 8192    // records a reader looks at in one go
)

// checkStream refuses names that no store takes. NUL is the end of a name in keys.
func checkStream(stream string) error {
	switch {
	case stream == "":
		return fmt.Errorf("%w: empty stream name", event.ErrInvalid)
	case stream == layout.MetadataPrefix:
		return fmt.Errorf("%w: %q is the metadata stream of nothing", event.ErrInvalid, stream)
	case len(strings.TrimPrefix(stream, layout.MetadataPrefix)) > MaxStreamBytes:
		return fmt.Errorf("%w: stream name of %d bytes, at most %d", event.ErrInvalid, len(stream), MaxStreamBytes)
	case strings.IndexByte(stream, 0) >= 0 || !utf8.ValidString(stream):
		return fmt.Errorf("%w: stream name is not UTF-8 without NUL", event.ErrInvalid)
	}
	return nil
}

// checkAppendable refuses, besides, the streams that the store makes by itself.
func checkAppendable(stream string) error {
	if layout.IsLinkStream(stream) {
		return fmt.Errorf("%w: streams %s… and %s… are made by the store", event.ErrInvalid, layout.CategoryPrefix, layout.TypePrefix)
	}
	return checkStream(stream)
}

// checkEvents validates an append and returns its ids.
func checkEvents(events []event.New) ([]uuid.UUID, error) {
	if len(events) == 0 {
		return nil, fmt.Errorf("%w: no events", event.ErrInvalid)
	}
	if len(events) > MaxAppendCount {
		return nil, fmt.Errorf("%w: %d events, at most %d", event.ErrTooLarge, len(events), MaxAppendCount)
	}
	ids := make([]uuid.UUID, len(events))
	total := 0
	for i, e := range events {
		id, err := checkEvent(e)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		ids[i] = id
		total += len(e.Data) + len(e.Metadata) + len(e.Type)
	}
	if total > MaxAppendBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", event.ErrTooLarge, total, MaxAppendBytes)
	}
	return ids, nil
}

// checkEvent validates one event and returns its id.
func checkEvent(e event.New) (uuid.UUID, error) {
	id, err := parseID(e.ID)
	if err != nil {
		return uuid.Nil, fmt.Errorf("%w: %w", event.ErrInvalid, err)
	}
	if e.Type == "" || len(e.Type) > MaxTypeBytes || !utf8.ValidString(e.Type) {
		return uuid.Nil, fmt.Errorf("%w: type must be UTF-8 of 1 to %d bytes", event.ErrInvalid, MaxTypeBytes)
	}
	if size := len(e.Data) + len(e.Metadata); size > MaxEventBytes {
		return uuid.Nil, fmt.Errorf("%w: data and metadata have %d bytes, at most %d", event.ErrTooLarge, size, MaxEventBytes)
	}
	return id, nil
}

// canonicalIDLength is that of xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.
const canonicalIDLength = 36

func parseID(text string) (uuid.UUID, error) {
	if len(text) != canonicalIDLength {
		return uuid.Nil, fmt.Errorf("id is not a UUID in canonical form")
	}
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, fmt.Errorf("id is not a UUID in canonical form")
	}
	return id, nil
}
