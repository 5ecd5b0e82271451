// Package deadline holds the operational events of durable deadlines: streams by
// minute and shard, deadline-<yyyymmddThhmmZ>-<shard>. A deadline wakes the process
// manager for one notification; one overtaken by events decides nothing. A bucket is
// closed by an event at an expected revision once all of its minute has been fired.
package deadline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"recapito/domain/event"
)

// StreamPrefix is the category of deadline streams (operational: not ledger events).
const StreamPrefix = "deadline-"

// Bucket is one minute of one shard.
type Bucket struct {
	Minute time.Time // UTC, truncated to the minute
	Shard  int
}

const minuteLayout = "20060102T1504Z"

// BucketOf returns the bucket that a time falls into.
func BucketOf(at time.Time, shard int) Bucket {
	return Bucket{Minute: at.UTC().Truncate(time.Minute), Shard: shard}
}

// Stream names the bucket's stream.
func (b Bucket) Stream() string {
	return StreamPrefix + b.Minute.UTC().Format(minuteLayout) + "-" + strconv.Itoa(b.Shard)
}

// ParseStream takes a stream name apart.
func ParseStream(stream string) (Bucket, error) {
	rest, ok := strings.CutPrefix(stream, StreamPrefix)
	minute, shard, ok2 := strings.Cut(rest, "-")
	if !ok || !ok2 {
		return Bucket{}, fmt.Errorf("%q is not a deadline stream", stream)
	}
	at, err := time.Parse(minuteLayout, minute)
	n, err2 := strconv.Atoi(shard)
	if err != nil || err2 != nil || n < 0 {
		return Bucket{}, fmt.Errorf("%q is not a deadline stream", stream)
	}
	return Bucket{Minute: at, Shard: n}, nil
}

// Event is one of the events below.
//
//sumtype:decl
type Event interface{ deadlineEvent() }

// DeadlineSet: wake the notification at At (millisecond precision).
type DeadlineSet struct {
	At           time.Time `json:"at"`
	Notification string    `json:"notification"`
	// Attempt is the attempt watched; 0 for the notification itself (enrichment, expiry).
	Attempt int `json:"attempt,omitempty"`
	// GivenBack: a worker could not take the attempt; its watchdog is another deadline.
	GivenBack bool `json:"given_back,omitempty"`
}

// BucketClosed: everything in this bucket was fired; later deadlines go elsewhere.
type BucketClosed struct{}

// Tick returns the first of from, from + every, from + 2 × every… that is after now.
// What is repeated for one attempt is set at ticks, so that repetitions which began
// apart (after a crash, a duplicated message) fall on the same times and become one.
func Tick(from time.Time, every time.Duration, now time.Time) time.Time {
	if now.Before(from) || every <= 0 {
		return from
	}
	return now.Add(every - now.Sub(from)%every)
}

func (DeadlineSet) deadlineEvent()  {}
func (BucketClosed) deadlineEvent() {}

// definitions registers the events under their stored names.
func definitions() []event.Definition {
	return []event.Definition{
		event.Define[DeadlineSet]("DeadlineSet",
			event.Doc("A notification, or one attempt of it, is to be looked at again at this time.")),
		event.Define[BucketClosed]("DeadlineBucketClosed",
			event.Doc("Every deadline of this minute and shard was fired; later ones go elsewhere.")),
	}
}
