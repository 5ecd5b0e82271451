package readmodels_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"recapito/readmodels"
)

// A batch whose texts are so large that room is made for them holds them, and no more.
func TestLargeTextsAreWrittenAsTheyAre(t *testing.T) {
	conn := open(t)
	table := readmodels.EventsTable.Name("t")
	if err := readmodels.EventsTable.Create(t.Context(), conn, table); err != nil {
		t.Fatal(err)
	}
	var rows []readmodels.Row
	want := map[string]string{}
	for i := range 300 {
		r := readmodels.EventRow{
			Tenant: "default", Stream: fmt.Sprintf("notification-%d", i), OccurredAt: time.Unix(1, 0), RecordedAt: time.Unix(1, 0),
			Data: strings.Repeat(string(rune('a'+i%26)), 3*i), Metadata: strings.Repeat("é\x00", i),
		}
		rows = append(rows, r)
		want[r.Stream] = r.Data + "|" + r.Metadata
	}
	for range 2 { // the second batch over the same connection
		if err := readmodels.EventsTable.Insert(t.Context(), conn, table, "", rows); err != nil {
			t.Fatal(err)
		}
	}
	found, err := conn.Query(t.Context(), "SELECT stream, data || '|' || metadata FROM "+table+" FINAL")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	got := map[string]string{}
	for found.Next() {
		var stream, text string
		if err := found.Scan(&stream, &text); err != nil {
			t.Fatal(err)
		}
		got[stream] = text
	}
	if err := found.Err(); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v: %d rows, not those %d that were written", err, len(got), len(want))
	}
}

// BenchmarkFill fills a batch of events with nothing else around: as Insert does it, and
// as the client does it by itself.
func BenchmarkFill(b *testing.B) {
	conn := open(b)
	rows := make([]readmodels.Row, 20_000)
	for i := range rows {
		rows[i] = readmodels.EventRow{Tenant: "default", Data: strings.Repeat("x", 700), Metadata: strings.Repeat("y", 250)}
	}
	columns := readmodels.Columns(rows)
	for name, room := range map[string]bool{"with room": true, "as the client does": false} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				batch, err := readmodels.EventsTable.Prepare(b.Context(), conn, "events_v0_none")
				if err != nil {
					b.Fatal(err)
				}
				if room {
					err = readmodels.Fill(batch, columns)
				} else {
					for i, c := range columns {
						if err == nil {
							err = batch.Column(i).Append(c)
						}
					}
				}
				if err != nil {
					b.Fatal(err)
				}
				_ = batch.Close()
			}
		})
	}
}
