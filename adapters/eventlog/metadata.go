package eventlog

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
const metadataPrefix = "$$"

// The event types that the log itself writes.
const (
	metadataType  = "$metadata"
	tombstoneType = "$streamDeleted"
)

func isMetadataStream(stream string) bool { return strings.HasPrefix(stream, metadataPrefix) }

func metadataOf(stream string) string { return metadataPrefix + stream }

// limitedBy returns the stream whose limits are set by a stream: that of which it is the
// metadata stream. A metadata stream's limits are fixed: what $$$$x holds has no effect.
func limitedBy(stream string) (string, bool) {
	original, ok := strings.CutPrefix(stream, metadataPrefix)
	return original, ok && !isMetadataStream(original)
}

// limits determine which events of a stream are hidden, and given back in time.
type limits struct {
	maxCount       uint64         // events before the newest so many are; 0: no limit
	maxAge         time.Duration  // events older than that are; 0: no limit
	truncateBefore event.Revision // events before it are; event.RevisionEnd: the stream is deleted
}

var ofMetadataStream = limits{maxCount: 1}

// deleted: all of it is hidden, and the next append undoes that.
func (l limits) deleted() bool { return l.truncateBefore == event.RevisionEnd }

// begin is the first revision that is not hidden by number, of a stream whose next
// event has revision next. It may be after that.
func (l limits) begin(next event.Revision) event.Revision {
	begin := l.truncateBefore
	if l.maxCount > 0 && uint64(next) > l.maxCount {
		begin = max(begin, next-event.Revision(l.maxCount))
	}
	return begin
}

// cutoff is the time before which events are hidden; zero: none is.
func (l limits) cutoff(now time.Time) time.Time {
	if l.maxAge == 0 {
		return time.Time{}
	}
	return now.Add(-l.maxAge)
}

// metadata are those that set these limits and hold nothing else, but for $tb.
func (l limits) metadata() []byte {
	members := map[string]int64{}
	if l.maxCount > 0 {
		members["$maxCount"] = int64(l.maxCount) // it came from one
	}
	if l.maxAge > 0 {
		members["$maxAge"] = int64(l.maxAge / time.Second)
	}
	data, _ := json.Marshal(members) // cannot fail
	return data
}

// onlyLimits reports whether metadata hold nothing but the limits they set.
func onlyLimits(data []byte) bool {
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

// limitsOf takes the limits from metadata. As with EventStoreDB, metadata that are not
// as they should be in any part of them set no limits at all, and numbers that are no
// limits are passed over.
func limitsOf(data []byte) limits {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(data)).Decode(&members) != nil {
		return limits{}
	}
	var numbers [4]int64
	for i, name := range []string{"$maxCount", "$maxAge", "$tb", "$cacheControl"} {
		if member, ok := members[name]; ok {
			if isNull(member) || json.Unmarshal(member, &numbers[i]) != nil {
				return limits{}
			}
		}
	}
	temporary := false
	if member, ok := members["$tmp"]; ok && (isNull(member) || json.Unmarshal(member, &temporary) != nil) {
		return limits{}
	}
	if member, ok := members["$acl"]; ok && !isACL(member) {
		return limits{}
	}
	const longest = math.MaxInt64 / int64(time.Second)
	return limits{
		maxCount:       uint64(max(numbers[0], 0)),
		maxAge:         time.Duration(min(max(numbers[1], 0), longest)) * time.Second,
		truncateBefore: event.Revision(max(numbers[2], 0)),
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

// withTruncateBefore returns metadata with another $tb and everything else kept; false
// if they are no JSON object.
func withTruncateBefore(data []byte, r event.Revision) ([]byte, bool) {
	var members map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(data)).Decode(&members) != nil || members == nil {
		return nil, false
	}
	members["$tb"] = fmt.Appendf(nil, "%d", r)
	changed, err := json.Marshal(members)
	return changed, err == nil
}
