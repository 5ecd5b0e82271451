package persistent

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"recapito/adapters/eventlog"
)

// All is the name by which the settings of a group on all streams call its source.
const All = "$all"

// FromEnd as a start means what is appended after the group was made.
const FromEnd = -1

// Strategies that share events among consumers.
const (
	RoundRobin          = "RoundRobin"
	DispatchToSingle    = "DispatchToSingle"
	Pinned              = "Pinned"
	PinnedByCorrelation = "PinnedByCorrelation"
)

// Limits of settings and of groups.
const (
	maxGroups      = 1000
	maxNameBytes   = eventlog.MaxStreamBytes - len("$$$persistentsubscription-::-checkpoint")
	maxBufferSize  = 100_000
	heldBytes      = 16 << 20 // of the events a group holds, each with messageBytes; exceeded by one event at most
	messageBytes   = 512      // reckoned for an event besides its data
	maxReasonBytes = 4096     // kept of why an event was parked
)

// Key names a group.
type Key struct{ Stream, Group string }

// String is the form in which streams and confirmations name a group.
func (k Key) String() string { return k.Stream + "::" + k.Group }

// Filter is a group's filter in the form in which EventStoreDB stores it.
type Filter struct {
	Context     string `json:"context"` // streamid or eventtype
	Type        string `json:"type"`    // regex or prefix
	Data        string `json:"data"`    // the pattern, or prefixes with commas between
	IsAllStream bool   `json:"isAllStream"`
}

// Settings of a group. The member names are those that EventStoreDB stores.
type Settings struct {
	Stream string  `json:"stream"`
	Group  string  `json:"group"`
	Filter *Filter `json:"filter,omitempty"` // only with $all

	// Start is the first revision, or position of $all, or FromEnd.
	Start int64 `json:"-"`

	ResolveLinks      bool   `json:"resolveLinkTos"`
	ExtraStatistics   bool   `json:"extraStatistics"`
	MessageTimeoutMS  int    `json:"messageTimeout"` // 0: none
	LiveBufferSize    int    `json:"liveBufferSize"`
	HistoryBufferSize int    `json:"historyBufferSize"`
	MaxRetryCount     int    `json:"maxRetryCount"`
	ReadBatchSize     int    `json:"readBatchSize"`
	CheckpointAfterMS int    `json:"checkPointAfter"` // 0: by count only
	MinCheckpoint     int    `json:"minCheckPointCount"`
	MaxCheckpoint     int    `json:"maxCheckPointCount"`
	MaxSubscribers    int    `json:"maxSubscriberCount"` // 0: any number
	Strategy          string `json:"namedConsumerStrategy"`
}

// Key names the group.
func (s Settings) Key() Key { return Key{s.Stream, s.Group} }

func (s Settings) messageTimeout() time.Duration {
	return time.Duration(s.MessageTimeoutMS) * time.Millisecond
}

func (s Settings) checkpointAfter() time.Duration {
	return time.Duration(s.CheckpointAfterMS) * time.Millisecond
}

// validate returns an *Invalid. last is where $all ends.
func (s Settings) validate(last int64) error {
	switch {
	case s.Stream == "" || s.Group == "":
		return &Invalid{"Bad stream name."}
	case len(s.Stream)+len(s.Group) > maxNameBytes:
		return &Invalid{fmt.Sprintf("The names of the stream and of the group have more than %d bytes.", maxNameBytes)}
	case !slices.Contains([]string{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation}, s.Strategy):
		return &Invalid{"Consumer strategy " + s.Strategy + " does not exist."}
	case s.Start < FromEnd:
		return &Invalid{"Invalid Start From position: event number must be greater than or equal to -1."}
	case s.Stream == All && s.Start > last:
		return &Invalid{"Invalid Start From position: commit position must be less than or equal to the last commit position in the transaction file."}
	}
	for name, n := range map[string]int{"read batch size": s.ReadBatchSize, "history buffer size": s.HistoryBufferSize} {
		if n < 1 || n > maxBufferSize {
			return &Invalid{fmt.Sprintf("The %s is not from 1 to %d.", name, maxBufferSize)}
		}
	}
	for name, n := range map[string]int{
		"live buffer size": s.LiveBufferSize, "message timeout": s.MessageTimeoutMS, "retry count": s.MaxRetryCount,
		"checkpoint interval": s.CheckpointAfterMS, "smallest checkpoint count": s.MinCheckpoint,
		"largest checkpoint count": s.MaxCheckpoint, "number of subscribers": s.MaxSubscribers,
	} {
		if n < 0 {
			return &Invalid{"The " + name + " is negative."}
		}
	}
	if s.LiveBufferSize > maxBufferSize {
		return &Invalid{fmt.Sprintf("The live buffer size is above %d.", maxBufferSize)}
	}
	return nil
}

// place writes a revision, or a position of $all, as EventStoreDB does.
func (s Settings) place(n int64) string {
	if s.Stream == All {
		return fmt.Sprintf("C:%d/P:%d", n, n)
	}
	return strconv.FormatInt(n, 10)
}

var errPlace = errors.New("malformed position")

func (s Settings) parsePlace(text string) (int64, error) {
	if s.Stream == All {
		commit, _, ok := strings.Cut(strings.TrimPrefix(text, "C:"), "/P:")
		if !ok {
			return 0, errPlace
		}
		text = commit
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < FromEnd {
		return 0, errPlace
	}
	return n, nil
}

// configuration is what the stream $persistentSubscriptionConfig holds.
type configuration struct {
	Version   string    `json:"version"`
	Updated   time.Time `json:"updated"`
	UpdatedBy string    `json:"updatedBy"`
	Entries   []entry   `json:"entries"`
}

// entry is a group in it.
type entry struct {
	Settings
	StartFrom     int64  `json:"startFrom"` // of old servers
	StartPosition string `json:"startPosition"`
	// EndedAt is ours: where the source ended when a group from the end was made, -1 for
	// nothing there, so that what comes between then and the first checkpoint is not
	// passed over after a restart.
	EndedAt *int64 `json:"endedAt,omitempty"`
}

func newEntry(s Settings) entry {
	e := entry{Settings: s, StartFrom: s.Start, StartPosition: s.place(s.Start)}
	if s.Stream == All {
		e.StartFrom = math.MinInt64
	}
	return e
}

func parseConfiguration(data []byte) (configuration, error) {
	var c configuration
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("the stored groups: %w", err)
	}
	if c.Version != "1" && c.Version != "2" {
		return c, fmt.Errorf("the stored groups have version %.10q", c.Version)
	}
	for i := range c.Entries {
		e := &c.Entries[i]
		text := e.StartPosition
		if text == "" {
			text = strconv.FormatInt(e.StartFrom, 10)
		}
		start, err := e.parsePlace(text)
		if err != nil {
			return c, fmt.Errorf("the stored group %s: its start: %w", e.Key(), err)
		}
		e.Start = start
	}
	return c, nil
}
