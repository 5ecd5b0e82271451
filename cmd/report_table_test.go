package cmd

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"recapito/readmodels"
)

// A table is aligned, its numbers to the right; a narrow terminal gets fewer columns and
// lists which it does not get, a pipe all of them.
func TestATableFitsItsTerminal(t *testing.T) {
	t.Parallel()
	table := newReportTable("STATUS", "CODE", "MESSAGES")
	table.numbers, table.least = []string{"MESSAGES"}, []string{"NOT THERE", "CODE", "STATUS"}
	table.row("sent", "", "7")
	table.row("undelivered", "0x0b", "1,234,567,890")
	want := "STATUS       CODE       MESSAGES\nsent         -                 7\nundelivered  0x0b  1,234,567,890\n"
	for _, width := range []int{0, 32} {
		if text, without := table.within(width); text != want || len(without) != 0 {
			t.Errorf("of %d: without %v\n%s", width, without, text)
		}
	}
	if text, without := table.within(31); strings.Join(without, " ") != "CODE" || !strings.HasPrefix(text, "STATUS            MESSAGES\nsent") {
		t.Errorf("too narrow: without %v\n%s", without, text)
	}
	if _, without := table.within(5); strings.Join(without, " ") != "CODE STATUS" {
		t.Errorf("far too narrow: without %v", without)
	}
	var out bytes.Buffer
	if width := terminalWidth(&out); width != 0 {
		t.Errorf("a pipe has a width of %d", width)
	}
}

// Steps that are many share columns, and their numbers add up.
func TestTrendsShareColumns(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	var rows []readmodels.RollupLine
	for i := range 100 {
		rows = append(rows, readmodels.RollupLine{RollupCell: readmodels.RollupCell{Start: from.Add(time.Duration(i) * time.Hour), Measure: "sent"}, N: 3})
	}
	var out bytes.Buffer
	printTrends(terminal{out: &out}, nil, rows, from, from.Add(100*time.Hour), time.Hour)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || lines[0] != "from 2026-11-20 00:00 to 2026-11-24 04:00 UTC, a column is 2 hours" ||
		lines[2] != "sent       300        6  "+strings.Repeat("█", 50) {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	printTrends(terminal{out: &out}, nil, nil, from, from.Add(time.Hour), time.Hour)
	if out.String() != nothingCounted+"\n" {
		t.Errorf("without a row: %s", out.String())
	}
	for d, want := range map[time.Duration]string{time.Minute: "1 minute", 3 * time.Hour: "3 hours", 24 * time.Hour: "1 day", 48 * time.Hour: "2 days"} {
		if got := spell(d); got != want {
			t.Errorf("%v is %q", d, got)
		}
	}
}

// What is counted by steps takes complete ones: a period relative to now is widened to them,
// one that is given stands, and as of a time is never rounded.
func TestPeriodsFromNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 18, 30, 7, 5000, time.UTC)
	f := reportFlags{From: "24h", To: "0s", AsOf: "1m"}
	for step, want := range map[time.Duration]string{
		0:              "2026-11-28T18:30:07.000005Z 2026-11-29T18:30:07.000005Z",
		time.Hour:      "2026-11-28T18:00:00Z 2026-11-29T19:00:00Z",
		24 * time.Hour: "2026-11-28T00:00:00Z 2026-11-30T00:00:00Z",
	} {
		got, err := f.times(now, step)
		if err != nil || got["from"]+" "+got["to"] != want || got["as_of"] != "2026-11-29T18:29:07.000005Z" {
			t.Errorf("by %v: %v %v", step, got, err)
		}
	}
	f = reportFlags{From: "2026-11-01", To: "2026-11-01T10:30:00+02:00"}
	if got, err := f.times(now, time.Hour); err != nil || got["from"] != "2026-11-01T00:00:00Z" || got["to"] != "2026-11-01T08:30:00Z" || got["as_of"] != "" {
		t.Errorf("given: %v %v", got, err)
	}
	for _, wrong := range []string{"yesterday", "-1h", "2026-13-01"} {
		if _, err := (&reportFlags{AsOf: wrong}).times(now, 0); err == nil || !strings.Contains(err.Error(), "--as-of must be a time such as") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// The bar of a file moves within its frame, is full at the end, and is no line in a pipe
// for what is soon done.
func TestProgressOfAFile(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newProgress(&out)
	b.showFile(1 << 20)
	b.endFile(1<<20, true)
	if out.Len() != 0 {
		t.Errorf("a pipe gets %q", out.String())
	}
	b.last = b.last.Add(-plainEvery)
	if b.showFile(2 << 20); !strings.HasPrefix(out.String(), "2,048 kB  ") || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("after a while a pipe gets %q", out.String())
	}
	for since := range 100 {
		if bar := moving(time.Duration(since) * fileEvery); utf8.RuneCountInString(bar) != barWidth || strings.Count(bar, "=") != 5 {
			t.Fatalf("after %d: %q", since, bar)
		}
	}
	out.Reset()
	b.terminal = true
	b.showFile(3 << 20)
	if b.endFile(3<<20, true); !strings.Contains(out.String(), "["+strings.Repeat("=", barWidth)+"]  3,072 kB") || !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("at the end: %q", out.String())
	}
}
