package layout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"recapito/domain/event"
)

// The metadata of stream x are the events of stream $$x; the last one counts. A metadata
// stream itself shows its last event only, and has no metadata.
const MetadataPrefix = "$$"

// The event types that the log itself writes.
const (
	MetadataType  = "$metadata"
	TombstoneType = "$streamDeleted"
)

func IsMetadataStream(stream string) bool { return strings.HasPrefix(stream, MetadataPrefix) }

func MetadataOf(stream string) string { return MetadataPrefix + stream }

// LimitedBy returns the stream whose limits are set by a stream: that of which it is the
// metadata stream. A metadata stream's limits are fixed: what $$$$x holds has no effect.
func LimitedBy(stream string) (string, bool) {
	original, ok := strings.CutPrefix(stream, MetadataPrefix)
	return original, ok && !IsMetadataStream(original)
}

// Limits determine which events of a stream are hidden, and given back in time.
type Limits struct {
	MaxCount       uint64         // events before the newest so many are; 0: no limit
	MaxAge         time.Duration  // events older than that are; 0: no limit
	TruncateBefore event.Revision // events before it are; event.RevisionEnd: the stream is deleted
}

var OfMetadataStream = Limits{MaxCount: 1}

// Deleted: all of it is hidden, and the next append undoes that.
func (l Limits) Deleted() bool { return l.TruncateBefore == event.RevisionEnd }

// Begin is the first revision that is not hidden by number, of a stream whose next
// event has revision next. It may be after that.
func (l Limits) Begin(next event.Revision) event.Revision {
	begin := l.TruncateBefore
	if l.MaxCount > 0 && uint64(next) > l.MaxCount {
		begin = max(begin, next-event.Revision(l.MaxCount))
	}
	return begin
}

// Cutoff is the time before which events are hidden; zero: none is.
func (l Limits) Cutoff(now time.Time) time.Time {
	if l.MaxAge == 0 {
		return time.Time{}
	}
	return now.Add(-l.MaxAge)
}

// Metadata are those that set these limits and hold nothing else, but for $tb.
func (l Limits) Metadata() []byte {
	members := map[string]int64{}
	if l.MaxCount > 0 {
		members["$maxCount"] = int64(l.MaxCount) // it came from one
	}
	if l.MaxAge > 0 {
		members["$maxAge"] = int64(l.MaxAge / time.Second)
	}
	data, _ := json.Marshal(members) // cannot fail
	return data
}

// OnlyLimits reports whether metadata hold nothing but the limits they set.
func OnlyLimits(data []byte) bool {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(data)).Decode(&members) != nil {
		return false
	}
	for name := range members {
		switch name {
		case "$maxCount", "$maxAge", "$tb":
		default:
			return false
		}
	}
	return true
}

// LimitsOf takes the limits from metadata. As with EventStoreDB, metadata that are not
// as they should be in any part of them set no limits at all, and numbers that are no
// limits are passed over.
func LimitsOf(data []byte) Limits {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(data)).Decode(&members) != nil {
		return Limits{}
	}
	var numbers [4]int64
	for i, name := range []string{"$maxCount", "$maxAge", "$tb", "$cacheControl"} {
		if member, ok := members[name]; ok {
			if isNull(member) || json.Unmarshal(member, &numbers[i]) != nil {
				return Limits{}
			}
		}
	}
	temporary := false
	if member, ok := members["$tmp"]; ok && (isNull(member) || json.Unmarshal(member, &temporary) != nil) {
		return Limits{}
	}
	if member, ok := members["$acl"]; ok && !isACL(member) {
		return Limits{}
	}
	const longest = math.MaxInt64 / int64(time.Second)
	return Limits{
		MaxCount:       uint64(max(numbers[0], 0)),
		MaxAge:         time.Duration(min(max(numbers[1], 0), longest)) * time.Second,
		TruncateBefore: event.Revision(max(numbers[2], 0)),
	}
}

func isNull(member json.RawMessage) bool { return string(member) == "null" }

// isACL: who may do what, each a role or a list of roles. It is not enforced.
func isACL(member json.RawMessage) bool {
	var acl map[string]any
	if json.Unmarshal(member, &acl) != nil || acl == nil {
		return false
	}
	for name, roles := range acl {
		switch name {
		case "$r", "$w", "$d", "$mr", "$mw":
		default:
			return false
		}
		switch roles := roles.(type) {
		case string:
		case []any:
			for _, role := range roles {
				if _, ok := role.(string); !ok {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

// WithTruncateBefore returns metadata with another $tb and everything else kept; false
// if they are no JSON object.
func WithTruncateBefore(data []byte, r event.Revision) ([]byte, bool) {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(data)).Decode(&members) != nil || members == nil {
		return nil, false
	}
	members["$tb"] = fmt.Appendf(nil, "%d", r)
	changed, err := json.Marshal(members)
	return changed, err == nil
}
