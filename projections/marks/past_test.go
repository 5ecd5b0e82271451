package marks_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/histories"
	"recapito/projections/marks"
	"recapito/readmodels"
)

// Searches as of a cut are those of the events before it, in pages and as a whole: for
// ever, also when later events have come and the tables were rebuilt, and by clocks of
// handlers that are minutes apart.
func TestThePastStays(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Skew = 10 * time.Minute
	var err error
	if i.Histories, err = histories.New(histories.Options{Codec: i.Author.Codec, Seed: 42}); err != nil {
		t.Fatal(err)
	}
	i.Start(clickhousetest.Database(t))
	i.Write(400)
	i.Settled()
	cut := i.P.States()[0].Events * 2 / 3
	i.past(cut)
	i.past(0)
	i.Write(800)
	for _, name := range []string{"events", "edr"} {
		if err := i.P.Rebuild(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	i.Settled()
	i.past(cut)
	i.past(i.P.States()[0].Events)
}

// past holds attempts and notifications as of a cut against a fold of the ledger.
func (i *instance) past(cut uint64) {
	i.T.Helper()
	var ledger []event.Recorded
	err := i.Store.ReadAll(i.T.Context(), event.AllRead{Filter: event.Filter{StreamPrefixes: catalogue.LedgerPrefixes()}}, func(r event.Recorded) error {
		ledger = append(ledger, r)
		return nil
	})
	if err != nil {
		i.T.Fatal(err)
	}
	then, err := projections.FoldEDR(i.Author.Codec, ledger[:cut])
	if err != nil {
		i.T.Fatal(err)
	}
	slices.SortFunc(then, func(a, b readmodels.EDR) int {
		return cmp.Or(b.Day.Compare(a.Day), cmp.Compare(b.Notification, a.Notification), cmp.Compare(a.Attempt, b.Attempt))
	})
	past := marks.Past{Conn: i.Conn, Codec: i.Author.Codec}
	person := ""
	if len(then) > 0 {
		person = then[len(then)/2].Person
	}
	ids := map[string]bool{}
	for name, is := range map[string]map[string]string{
		"all": nil, "delivered": {"status": "delivered"}, "by sms": {"channel": "sms", "status": "sent"}, "a person": {"person": person},
	} {
		q := readmodels.EDRQuery{Tenant: "acme", EDRFilter: readmodels.EDRFilter{Is: is}, AsOf: &cut, Limit: 7}
		var want []readmodels.EDR
		for _, r := range then {
			if q.Fits(r) {
				want = append(want, r)
				ids[r.Notification] = true
			}
		}
		var got, each []readmodels.EDR
		for {
			page, err := past.EDRs(i.T.Context(), q)
			if err != nil {
				i.T.Fatal(err)
			}
			got = append(got, page.Rows...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			i.T.Errorf("%s as of %d: %s", name, cut, d)
		}
		q.Limit = 0
		if err := past.EachEDR(i.T.Context(), q, func(r readmodels.EDR) error { each = append(each, r); return nil }); err != nil {
			i.T.Fatal(err)
		}
		if d := gocmp.Diff(want, each, cmpopts.EquateEmpty()); d != "" {
			i.T.Errorf("each of %s as of %d: %s", name, cut, d)
		}
	}
	folded, err := projections.FoldNotifications(i.Author.Codec, ledger[:cut])
	if err != nil {
		i.T.Fatal(err)
	}
	i.unattempted(past, folded, cut)
	want := map[string]readmodels.Notification{}
	var asked []string
	for _, n := range folded {
		if n.Tenant == "acme" && ids[n.Notification] {
			want[n.Notification] = n
			asked = append(asked, n.Notification)
		}
	}
	got, err := past.Notifications(i.T.Context(), "acme", append(asked, "not-there"), cut)
	if err != nil {
		i.T.Fatal(err)
	}
	if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		i.T.Errorf("notifications as of %d: %s", cut, d)
	}
}

// unattempted: what never came to an attempt is told of its person.
func (i *instance) unattempted(past marks.Past, folded []readmodels.Notification, cut uint64) {
	i.T.Helper()
	byID := cmpopts.SortSlices(func(a, b readmodels.Notification) bool { return a.Notification < b.Notification })
	want := map[string][]readmodels.Notification{}
	for _, n := range folded {
		if n.Attempts == 0 {
			want[n.Person] = append(want[n.Person], n)
		}
	}
	now := cut == i.P.States()[0].Events
	if now && len(want) == 0 {
		i.T.Error("no notification is without an attempt")
	}
	for person, all := range want {
		got, err := past.Unattempted(i.T.Context(), all[0].Tenant, person, time.Time{}, time.Time{}, cut)
		if err != nil {
			i.T.Fatal(err)
		}
		if d := gocmp.Diff(all, got, cmpopts.EquateEmpty(), byID); d != "" {
			i.T.Errorf("without an attempt as of %d: %s", cut, d)
		}
		if !now {
			continue
		}
		got, err = readmodels.Unattempted(i.T.Context(), i.Conn, all[0].Tenant, person, *all[0].RequestedAt, all[0].RequestedAt.Add(time.Hour))
		if err != nil {
			i.T.Fatal(err)
		}
		if !slices.ContainsFunc(got, func(n readmodels.Notification) bool { return n.Notification == all[0].Notification }) {
			i.T.Errorf("%d of %d without an attempt are told now", len(got), len(all))
		}
	}
}
