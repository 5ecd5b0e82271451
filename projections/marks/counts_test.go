package marks_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/projections/marks"
	"recapito/readmodels"
)

// As of any cut, accounting and rollups are those of the events before it: also when
// later ones have come, spans are summed up and the tables were rebuilt, and by clocks
// that are minutes apart.
func TestCountsAsOf(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span, i.Skew = 7, 64, 10*time.Minute
	conn := clickhousetest.Database(t)
	i.Start(conn)
	i.Write(90)
	i.Settled()
	counts := marks.Counts{Conn: conn, Source: i.Store, Codec: i.Author.Codec}
	i.asOf(counts, 40)
	i.Write(90)
	i.Settled()
	for _, name := range []string{"accounting", "rollups"} {
		if err := i.P.Rebuild(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, cut := range []uint64{0, 1, 40, 63, 64, 65, 70, 127, 128, 200, i.P.States()[0].Events} {
		i.asOf(counts, cut)
	}
	months, err := counts.Accounting(t.Context(), readmodels.CountQuery{Tenant: "acme", GroupBy: []string{"month"}})
	if err != nil {
		t.Fatal(err)
	}
	days, err := counts.Accounting(t.Context(), readmodels.CountQuery{
		Tenant: "acme", GroupBy: []string{"day"},
		From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	var november readmodels.AccountingSums
	for _, d := range days {
		november.Add(1, d.AccountingSums)
	}
	if j := slices.IndexFunc(months, func(l readmodels.AccountingLine) bool { return l.DayText == "2026-11" }); j < 0 ||
		months[j].AccountingSums != november || november.Messages == 0 {
		t.Errorf("the months are %+v, the days of November come to %+v", months, november)
	}
}

// asOf holds both against a fold of the ledger's first events.
func (i *instance) asOf(counts marks.Counts, cut uint64) {
	i.T.Helper()
	var ledger []event.Recorded
	err := i.Store.ReadAll(i.T.Context(), event.AllRead{Filter: event.Filter{StreamPrefixes: catalogue.LedgerPrefixes()}}, func(r event.Recorded) error {
		ledger = append(ledger, r)
		return nil
	})
	if err != nil {
		i.T.Fatal(err)
	}
	edr, err := projections.FoldEDR(i.Author.Codec, ledger[:cut])
	if err != nil {
		i.T.Fatal(err)
	}
	wantSums := map[readmodels.AccountingCell]readmodels.AccountingSums{}
	for cell, s := range projections.FoldAccounting(edr) {
		if cell.Tenant != "acme" || cell.Channel != "sms" && cell.Channel != "push" {
			continue
		}
		cell = readmodels.AccountingCell{Tenant: "acme", Day: cell.Day, Dimensions: readmodels.Dimensions{OfAttempt: readmodels.OfAttempt{Route: cell.Route}}, Status: cell.Status}
		sum := wantSums[cell]
		sum.Add(1, s)
		wantSums[cell] = sum
	}
	lines, err := counts.Accounting(i.T.Context(), readmodels.CountQuery{
		Tenant: "acme", GroupBy: []string{"day", "route", "status"}, Where: map[string][]string{"channel": {"sms", "push"}, "test": {"true", "false"}}, AsOf: &cut,
	})
	if err != nil {
		i.T.Fatal(err)
	}
	gotSums := map[readmodels.AccountingCell]readmodels.AccountingSums{}
	for _, l := range lines {
		gotSums[l.AccountingCell] = l.AccountingSums
	}
	if d := gocmp.Diff(wantSums, gotSums, cmpopts.EquateEmpty()); d != "" {
		i.T.Errorf("accounting as of %d: %s", cut, d)
	}

	folded, err := projections.FoldRollups(i.Author.Codec, ledger[:cut])
	if err != nil {
		i.T.Fatal(err)
	}
	for _, basis := range []string{readmodels.ByEvent, readmodels.ByRequest} {
		want := map[readmodels.RollupCell]int64{}
		for cell, n := range folded {
			if cell.Tenant != "acme" || cell.Grain != readmodels.Hour || cell.Basis != basis {
				continue
			}
			if cell = (readmodels.RollupCell{Tenant: "acme", Start: cell.Start, Measure: cell.Measure}); true {
				if want[cell] += n; want[cell] == 0 {
					delete(want, cell)
				}
			}
		}
		lines, err := counts.Rollups(i.T.Context(), readmodels.CountQuery{
			Tenant: "acme", GroupBy: []string{"start", "measure"}, Where: map[string][]string{"grain": {"hour"}, "basis": {basis}}, AsOf: &cut,
		})
		if err != nil {
			i.T.Fatal(err)
		}
		got := map[readmodels.RollupCell]int64{}
		for _, l := range lines {
			got[l.RollupCell] = l.N
		}
		if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			i.T.Errorf("rollups as of %d by %s: %s", cut, basis, d)
		}
	}
}

// A query that cannot be answered says why.
func TestCountQueriesThatAreRefused(t *testing.T) {
	for name, q := range map[string]readmodels.CountQuery{
		"no tenant":      {Where: map[string][]string{"grain": {"hour"}, "basis": {"event"}}},
		"two grains":     {Tenant: "t", Where: map[string][]string{"grain": {"hour", "day"}, "basis": {"event"}}},
		"no basis":       {Tenant: "t", Where: map[string][]string{"grain": {"hour"}}},
		"a quoted grain": {Tenant: "t", Where: map[string][]string{"grain": {"'"}, "basis": {"event"}}},
		"no dimension":   {Tenant: "t", GroupBy: []string{"n"}, Where: map[string][]string{"grain": {"hour"}, "basis": {"event"}}},
		"no filter":      {Tenant: "t", Where: map[string][]string{"grain": {"hour"}, "basis": {"event"}, "1=1 OR n": {"x"}}},
	} {
		if _, err := (marks.Counts{}).Rollups(t.Context(), q); err == nil || !errors.Is(err, readmodels.ErrBadQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
