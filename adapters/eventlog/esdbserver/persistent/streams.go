package persistent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"recapito/adapters/eventlog/layout"
	"recapito/domain/event"
)

// Names that EventStoreDB gives to what groups store.
const (
	configStream   = "$persistentSubscriptionConfig"
	configType     = "$PersistentConfig"
	checkpointType = "$SubscriptionCheckpoint"
	metadataType   = "$metadata"

	ownPrefix        = "$persistentsubscription-"
	checkpointSuffix = "-checkpoint"
	parkedSuffix     = "-parked"
)

// streams are those of one group.
type streams struct {
	log     Log
	key     Key
	limited bool // the checkpoints have their limit
}

func (s *streams) checkpoints() string { return ownPrefix + s.key.String() + checkpointSuffix }
func (s *streams) parked() string      { return ownPrefix + s.key.String() + parkedSuffix }

// metadata is what a stream of a group is given.
type metadata struct {
	MaxCount       int               `json:"$maxCount,omitempty"`
	TruncateBefore int64             `json:"$tb,omitempty"`
	ACL            map[string]string `json:"$acl,omitempty"`
}

// admins is the access that EventStoreDB gives to these streams.
var admins = map[string]string{"$r": "$admins", "$w": "$admins", "$d": "$admins", "$mr": "$admins", "$mw": "$admins"}

// last reads a stream's newest event.
func last(ctx context.Context, log Log, stream string) (event.Recorded, bool, error) {
	var newest event.Recorded
	found := false
	err := log.ReadStream(ctx, event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}, func(e event.Recorded) error {
		newest, found = e, true
		return nil
	})
	if errors.Is(err, event.ErrStreamNotFound) || errors.Is(err, event.ErrStreamDeleted) {
		err = nil
	}
	return newest, found, err
}

// bounds are where a stream begins, by its $tb, and where it goes on.
func (s *streams) bounds(ctx context.Context, stream string) (from, end int64, err error) {
	newest, found, err := last(ctx, s.log, stream)
	if err != nil {
		return 0, 0, err
	}
	e, described, err := last(ctx, s.log, "$$"+stream)
	if err != nil {
		return 0, 0, err
	}
	var m metadata
	if described && json.Unmarshal(e.Data, &m) != nil {
		m = metadata{} // somebody else's; what it limits is up to the store
	}
	if found {
		end = int64(newest.Revision) + 1
	} else if m.TruncateBefore < math.MaxInt64 {
		end = m.TruncateBefore
	}
	if stream == s.checkpoints() {
		s.limited = m.MaxCount > 0
	}
	return min(m.TruncateBefore, end), end, nil
}

// readCheckpoint returns the newest checkpoint, empty for none.
func (s *streams) readCheckpoint(ctx context.Context) (string, error) {
	from, end, err := s.bounds(ctx, s.checkpoints())
	if err != nil || from == end {
		return "", err
	}
	e, found, err := last(ctx, s.log, s.checkpoints())
	if err != nil || !found {
		return "", err
	}
	var text string
	if err := json.Unmarshal(e.Data, &text); err != nil {
		return "", fmt.Errorf("checkpoint %d of the group: %w", e.Revision, err)
	}
	return text, nil
}

func (s *streams) writeCheckpoint(ctx context.Context, place string) error {
	if !s.limited {
		if err := s.describe(ctx, s.checkpoints(), metadata{MaxCount: 2, ACL: admins}); err != nil {
			return err
		}
		s.limited = true
	}
	data, err := json.Marshal(place)
	if err != nil {
		return err
	}
	_, err = s.log.Append(ctx, s.checkpoints(), event.Any(), []event.New{{ID: uuid.NewString(), Type: checkpointType, Data: data}})
	return err
}

func (s *streams) parkedBounds(ctx context.Context) (from, end int64, err error) {
	return s.bounds(ctx, s.parked())
}

// writeParked returns the revision of the first.
func (s *streams) writeParked(ctx context.Context, messages []*message, now time.Time) (int64, error) {
	events := make([]event.New, len(messages))
	for i, m := range messages {
		why, err := json.Marshal(struct {
			Added  time.Time `json:"added"`
			Reason string    `json:"reason"`
			Number int64     `json:"subscriptionEventNumber"`
		}{now.UTC(), m.reason, int64(m.event.Revision)})
		if err != nil {
			return 0, err
		}
		subject := m.subject()
		to := fmt.Appendf(nil, "%d@%s", subject.Revision, subject.Stream)
		if subject.Type == layout.LinkType {
			to = subject.Data // a link to nothing is kept as it is
		}
		if m.parkID == "" {
			m.parkID = uuid.NewString()
		}
		events[i] = event.New{ID: m.parkID, Type: layout.LinkType, Data: to, Metadata: why, Binary: true}
	}
	appended, err := s.log.Append(ctx, s.parked(), event.Any(), events)
	return int64(appended.Revision) - int64(len(events)) + 1, err
}

func (s *streams) truncateParked(ctx context.Context, before int64) error {
	return s.describe(ctx, s.parked(), metadata{TruncateBefore: before, ACL: admins})
}

func (s *streams) describe(ctx context.Context, stream string, m metadata) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = s.log.Append(ctx, "$$"+stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: metadataType, Data: data}})
	return err
}

// clear gives up what an earlier group of the name left, so that a new one begins anew.
func (s *streams) clear(ctx context.Context) error {
	for stream, m := range map[string]metadata{s.checkpoints(): {MaxCount: 2, ACL: admins}, s.parked(): {ACL: admins}} {
		from, end, err := s.bounds(ctx, stream)
		if err != nil {
			return err
		}
		if from < end {
			m.TruncateBefore = end
			if err := s.describe(ctx, stream, m); err != nil {
				return err
			}
		}
	}
	return nil
}
