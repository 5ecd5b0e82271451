package memory

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"recapito/domain/event"
)

const metadataPrefix = "$$"

// metadata are what a stream's last metadata event holds of what is hidden.
type metadata struct {
	MaxCount int            `json:"$maxCount"`
	MaxAge   int64          `json:"$maxAge"` // seconds
	Before   event.Revision `json:"$tb"`
}

func (m metadata) deleted() bool { return m.Before == event.RevisionEnd }

// metadata reads the last metadata event; with mu held.
func (s *Store) metadata(stream string) (m metadata, data []byte) {
	if strings.HasPrefix(stream, metadataPrefix) {
		return metadata{MaxCount: 1}, nil
	}
	has := s.streams[metadataPrefix+stream]
	if len(has) == 0 {
		return m, nil
	}
	data = s.all[has[len(has)-1]].Data
	if json.Unmarshal(data, &m) != nil {
		return metadata{}, data
	}
	return m, data
}

// visible returns the stream's events that are not hidden; with mu held.
func (s *Store) visible(stream string) ([]event.Recorded, metadata) {
	m, _ := s.metadata(stream)
	has := s.streams[stream]
	begin := min(m.Before, event.Revision(len(has)))
	if m.MaxCount > 0 && len(has) > m.MaxCount {
		begin = max(begin, event.Revision(len(has)-m.MaxCount))
	}
	found := make([]event.Recorded, 0, len(has)-int(begin))
	for _, i := range has[begin:] {
		if m.MaxAge <= 0 || time.Since(s.all[i].Created) <= time.Duration(m.MaxAge)*time.Second {
			found = append(found, s.all[i])
		}
	}
	return found, m
}

// bringBack makes the events of a deleted stream from a revision on visible; with mu
// held.
func (s *Store) bringBack(stream string, from event.Revision) {
	_, data := s.metadata(stream)
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return
	}
	members["$tb"] = fmt.Appendf(nil, "%d", from)
	if changed, err := json.Marshal(members); err == nil {
		s.write(metadataPrefix+stream, []event.New{{ID: uuid.NewString(), Type: "$metadata", Data: changed}})
	}
}
