package deadline_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"recapito/domain/deadline"
	_ "recapito/domain/domaintest/seeds"
)

func TestBuckets(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	at := time.Date(2026, 3, 1, 1, 30, 59, 999_000_000, zone) // 23:30 of the day before in UTC
	if got := deadline.BucketOf(at, 3).Stream(); got != "deadline-20260228T2330Z-3" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "at"))
		b := deadline.BucketOf(at, rapid.IntRange(0, 1000).Draw(t, "shard"))
		if at.Before(b.Minute) || !at.Before(b.Minute.Add(time.Minute)) {
			t.Errorf("%v is not in the bucket of %v", at, b.Minute)
		}
		back, err := deadline.ParseStream(b.Stream())
		if err != nil || back.Shard != b.Shard || !back.Minute.Equal(b.Minute) {
			t.Errorf("%s is read as %v, %v", b.Stream(), back, err)
		}
	})
}

func TestOtherStreamsAreNotBuckets(t *testing.T) {
	for _, bad := range []string{
		"", "deadline-", "deadline-20260228T2330Z", "deadline-20260228T2330Z-", "deadline-20260228T2330Z-x", "deadline-20260228T2330Z--1",
		"deadline-20261328T2330Z-1", "deadline-20260228T2330-1", "checkpoint-20260228T2330Z-1", "deadline-x-1",
	} {
		if _, err := deadline.ParseStream(bad); err == nil {
			t.Errorf("%q is taken for a bucket", bad)
		}
	}
}

func TestTick(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for now, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: time.Minute, time.Minute - 1: time.Minute, time.Minute: 2 * time.Minute, time.Hour + 1: 61 * time.Minute,
	} {
		if got := deadline.Tick(from, time.Minute, from.Add(now)); !got.Equal(from.Add(want)) {
			t.Errorf("%v after: the next tick is %v after, want %v", now, got.Sub(from), want)
		}
	}
	if got := deadline.Tick(from, 0, from.Add(time.Hour)); !got.Equal(from) {
		t.Error(got)
	}
}
