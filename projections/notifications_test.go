package projections_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/histories"
	"recapito/readmodels"
)

// What the engine makes of partial rows is what the domain says of the notification,
// after any prefix of its events: rows in any order, of one event or of many, each
// written twice.
func TestNotificationsAreTheDomainsFold(t *testing.T) {
	t.Parallel()
	conn := connect(t, startEngine(t, filepath.Join(t.TempDir(), "clickhouse")))
	if err := readmodels.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	codec := newCodec(t)
	g, err := histories.New(histories.Options{Codec: codec, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	var ledger []event.Recorded
	for len(ledger) < 6000 {
		a := g.Next()
		for i, e := range a.Events {
			ledger = append(ledger, event.Recorded{
				Stream: a.Stream, Revision: a.First + event.Revision(i), Position: event.Position(len(ledger)),
				ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata,
			})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 300, 2000, 3777, len(ledger)} {
		want, err := projections.FoldNotifications(codec, ledger[:n])
		if err != nil {
			t.Fatal(err)
		}
		var rows []readmodels.Row
		for seq := 0; seq < n; {
			var batch []projections.LedgerEvent
			for range 1 + random.IntN(30) {
				if seq < n {
					batch = append(batch, projections.LedgerEvent{Recorded: ledger[seq], Seq: uint64(seq)})
					seq++
				}
			}
			some, err := projections.NotificationPartsOf(codec, batch)
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, some...)
		}
		rows = append(rows, rows...)
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		table := readmodels.NotificationsTable.Name(fmt.Sprint("p", n))
		if err := readmodels.NotificationsTable.Create(t.Context(), conn, table); err != nil {
			t.Fatal(err)
		}
		for len(rows) > 0 {
			some := rows[:min(len(rows), 1000)]
			rows = rows[len(some):]
			if err := readmodels.NotificationsTable.Insert(t.Context(), conn, table, "", some); err != nil {
				t.Fatal(err)
			}
		}
		if err := readmodels.NotificationsTable.Show(t.Context(), conn, table); err != nil {
			t.Fatal(err)
		}
		var got []readmodels.Notification
		err = readmodels.AllNotifications(t.Context(), conn, func(n readmodels.Notification) error { got = append(got, n); return nil })
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("after %d events: %s", n, d)
		}
	}
}
