package esdbserver

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"

	"recapito/domain/event"
)

// Keys and values of an event's own metadata, which the protocol keeps apart from the
// user's.
const (
	metaType        = "type"
	metaContentType = "content-type"
	metaCreated     = "created"

	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

// ticks are 100 ns since the Unix epoch.
func ticks(t time.Time) int64 { return t.UnixNano() / 100 }

func idToProto(id uuid.UUID, structured bool) *shared.UUID {
	if !structured {
		return &shared.UUID{Value: &shared.UUID_String_{String_: id.String()}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

func idFromProto(id *shared.UUID) (uuid.UUID, error) {
	switch v := id.GetValue().(type) {
	case *shared.UUID_Structured_:
		var u uuid.UUID
		binary.BigEndian.PutUint64(u[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(u[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return u, nil
	case *shared.UUID_String_:
		u, err := uuid.Parse(v.String_)
		if err != nil {
			return uuid.Nil, fmt.Errorf("%w: an id is no UUID", event.ErrInvalid)
		}
		return u, nil
	}
	return uuid.Nil, fmt.Errorf("%w: an id is missing", event.ErrInvalid)
}

func streamToProto(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

// proposed is what the messages of Append and of BatchAppend have in common.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

func newEvent(p proposed) (event.New, error) {
	id, err := idFromProto(p.GetId())
	if err != nil {
		return event.New{}, err
	}
	typ, ok := p.GetMetadata()[metaType]
	if !ok {
		return event.New{}, missingMetadata(metaType)
	}
	content, ok := p.GetMetadata()[metaContentType]
	if !ok {
		return event.New{}, missingMetadata(metaContentType)
	}
	return event.New{ID: id.String(), Type: typ, Data: p.GetData(), Metadata: p.GetCustomMetadata(), Binary: content != contentJSON}, nil
}

// sizeOf is what eventlog.MaxAppendBytes limits.
func sizeOf(e event.New) int { return len(e.Type) + len(e.Data) + len(e.Metadata) }

func recordedToProto(e event.Recorded, structured bool) (*streams.ReadResp_ReadEvent_RecordedEvent, error) {
	id, err := uuid.Parse(e.ID)
	if err != nil {
		return nil, fmt.Errorf("event %d of stream %q: its id: %w", e.Revision, e.Stream, err)
	}
	content := contentJSON
	if e.Binary {
		content = contentBinary
	}
	return &streams.ReadResp_ReadEvent_RecordedEvent{
		Id:               idToProto(id, structured),
		StreamIdentifier: streamToProto(e.Stream),
		StreamRevision:   uint64(e.Revision),
		CommitPosition:   uint64(e.Position),
		PreparePosition:  uint64(e.Position),
		Metadata: map[string]string{
			metaType:        e.Type,
			metaContentType: content,
			metaCreated:     strconv.FormatInt(ticks(e.Created), 10),
		},
		CustomMetadata: e.Metadata,
		Data:           e.Data,
	}, nil
}
