package projections_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/dimension"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
	"recapito/domain/receipt"
	"recapito/projections"
	"recapito/projections/histories"
	"recapito/projections/projectionstest"
	"recapito/readmodels"
)

// What the engine makes of partial rows is what the domain says of the notification,
// after any prefix of its events: rows in any order, of one event or of many, each
// written twice.
func TestNotificationsAreTheDomainsFold(t *testing.T) {
	t.Parallel()
	conn := clickhousetest.Database(t)
	if err := readmodels.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	codec := projectionstest.NewCodec(t)
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
			some, aside := projections.Notifications(codec).Rows(batch)
			if len(aside) > 0 {
				t.Fatal(aside)
			}
			rows = append(rows, some...)
		}
		mergesTo(t, conn, random, fmt.Sprint("p", n), rows, want)
	}
}

// mergesTo writes the rows twice, in any order, to a table of their own, and holds what the
// view makes of it against what it must.
func mergesTo(t *testing.T, conn driver.Conn, random *rand.Rand, id string, rows []readmodels.Row, want []readmodels.Notification) {
	t.Helper()
	rows = append(rows, rows...)
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	table := readmodels.NotificationsTable.Name(id)
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
	err := readmodels.NotificationsIn(t.Context(), conn, readmodels.Shard{}, func(n readmodels.Notification) error { got = append(got, n); return nil })
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b readmodels.Notification) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Notification, b.Notification))
	})
	if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Fatalf("%s: %s", id, d)
	}
}

// The same of what any commands decide, however mad: every prefix of each history is a
// notification of its own.
func TestNotificationsUnderAnyCommands(t *testing.T) {
	t.Parallel()
	conn := clickhousetest.Database(t)
	if err := readmodels.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	a := projectionstest.NewAuthor(t, 11)
	var ledger []event.Recorded
	states := map[notification.Lifecycle]bool{}
	for h := range 60 {
		events := anyHistory(a.Random)
		for n := 1; n <= len(events); n++ {
			s := notification.Decider.Fold(notification.State{}, events[:n]...)
			states[s.Lifecycle()] = true
			for revision, e := range events[:n] {
				name, data, err := a.Codec.Encode(t.Context(), personaltest.Sealer{}, "t1", notification.Stream("x"), e)
				if err != nil {
					t.Fatal(err)
				}
				ledger = append(ledger, event.Recorded{
					Stream: notification.Stream(fmt.Sprintf("h%02dp%03d", h, n)), Revision: event.Revision(revision),
					Position: event.Position(len(ledger)), ID: a.ID(), Type: name, Data: data, Metadata: a.Metadata("t1", a.From),
				})
			}
		}
	}
	if len(states) < 12 {
		t.Errorf("only %d states came about: %v", len(states), states)
	}
	want, err := projections.FoldNotifications(a.Codec, ledger)
	if err != nil {
		t.Fatal(err)
	}
	var rows []readmodels.Row
	for seq := 0; seq < len(ledger); {
		var batch []projections.LedgerEvent
		for range 1 + a.Random.IntN(9) {
			if seq < len(ledger) {
				batch = append(batch, projections.LedgerEvent{Recorded: ledger[seq], Seq: uint64(seq)})
				seq++
			}
		}
		some, aside := projections.Notifications(a.Codec).Rows(batch)
		if len(aside) > 0 {
			t.Fatal(aside)
		}
		rows = append(rows, some...)
	}
	mergesTo(t, conn, a.Random, "any", rows, want)
}

// anyHistory is what the domain decides on commands at random.
func anyHistory(random *rand.Rand) (events []notification.Event) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	person := personal.Ref{Person: "p", Key: "k"}
	var s notification.State
	tell := func(c notification.Command) {
		decided, err := notification.Decide(s, c)
		if err == nil {
			events, s = append(events, decided...), notification.Decider.Fold(s, decided...)
		}
	}
	request := notification.Request{
		OfNotification: dimension.OfNotification{Scenario: "s", Version: "1", Brand: "b", Campaign: "c", Priority: "normal"},
		Tenant:         "t1", Person: person, RequestHMAC: []byte{1}, At: now, OpenFields: map[string]string{"day": "1"}, Reference: "r",
	}
	if random.IntN(3) == 0 {
		request.ExpiresAt = now.Add(time.Duration(1+random.IntN(90)) * time.Minute)
	}
	tell(request)
	switch random.IntN(12) {
	case 0:
		tell(notification.Reject{Code: "no_address", At: now})
	case 1:
		tell(notification.Suppress{Code: "opt_out", At: now})
	}
	minutes := func(n int) notification.Duration { return notification.Duration(time.Duration(n) * time.Minute) }
	var plan notification.Plan
	for i := range 1 + random.IntN(3) {
		step := notification.Step{Wanted: []notification.Status{notification.Sent, notification.Delivered, notification.Read}[random.IntN(3)], Wait: minutes(20)}
		for j := range 1 + random.IntN(2) {
			step.Targets = append(step.Targets, notification.Target{
				OfAttempt:   dimension.OfAttempt{Channel: fmt.Sprintf("channel%d%d", i, j), Route: "r"},
				Destination: personal.New(person, "x"), Content: personal.New(person, "y"), Units: 1 + random.IntN(2), Policy: notification.Policy{
					Tries: 2, BackOff: minutes(1), BackOffMax: minutes(2), WireLimit: minutes(3), Redispatch: minutes(1), Patience: minutes(30),
					Unknown: []notification.UnknownPolicy{"wait", "resend", "hold"}[random.IntN(3)], UnknownLimit: minutes(25), Resends: 1,
				},
			})
		}
		plan.Steps = append(plan.Steps, step)
	}
	tell(notification.Enrich{Scenario: "s", Version: "2", Plan: plan, At: now})
	for range 45 {
		now = now.Add(time.Duration(random.IntN(300)) * time.Second)
		attempt := 1 + random.IntN(max(len(s.Attempts), 1))
		claim := fmt.Sprint("claim", attempt)
		switch random.IntN(20) {
		case 0, 1, 2, 3, 4:
			tell(notification.Claim{Attempt: attempt, Claim: claim, At: now})
		case 5, 6, 7, 8, 9:
			var parts []notification.UnitOutcome
			for range 2 {
				fate := []notification.Fate{notification.UnitAccepted, notification.UnitAccepted, notification.UnitAccepted, notification.UnitRefused, notification.UnitLost, notification.UnitNotSent}[random.IntN(6)]
				parts = append(parts, notification.UnitOutcome{Fate: fate, ProviderID: "i", Code: "0x00000058", Transient: random.IntN(2) == 0, At: now})
			}
			if a, ok := s.Attempt(attempt); ok {
				tell(notification.RecordOutcome{Attempt: attempt, Claim: claim, Units: parts[:min(a.Units, 2)], At: now})
			}
		case 10, 11, 12, 13:
			tell(notification.Confirm{
				ReceiptID: fmt.Sprint("r", random.IntN(1000)), Attempt: attempt, Unit: 1 + random.IntN(2), Code: "000", At: now,
				Status: []receipt.Status{receipt.Delivered, receipt.Delivered, receipt.Undelivered, receipt.Read, receipt.Intermediate}[random.IntN(5)],
				DoneAt: now.Add(-time.Duration(random.IntN(600)) * time.Second), ReceivedAt: now,
			})
		case 14, 15, 16:
			tell(notification.EnforceLimit{Attempt: attempt, At: now})
		case 17:
			tell(notification.RecordReply{Attempt: attempt, Channel: "sms", ReplyID: fmt.Sprint("a", random.IntN(3)), Text: personal.New(person, "z"), At: now})
		case 18:
			tell([]notification.Command{
				notification.ResendHeld{Attempt: attempt, At: now}, notification.GiveUpHeld{Attempt: attempt, At: now},
				notification.RecordPayment{PaymentID: "p", DoneAt: now.Add(-time.Hour), At: now},
			}[random.IntN(3)])
		case 19:
			if random.IntN(3) == 0 {
				tell(notification.Cancel{Reason: "moved", At: now})
			}
			tell(notification.Expire{At: now})
		}
	}
	return events
}
