package readmodels_test

import (
	"math"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recapito/projections/marks"
	"recapito/readmodels"
)

// The values of the catalogue are those of its queries, over the same tables.
func TestMetricValuesAreThoseOfTheirSQL(t *testing.T) {
	conn := bi(t)
	counts := marks.Counts{Conn: conn}
	from, to := biFrom.Truncate(24*time.Hour), biFrom.Add(48*time.Hour).Truncate(24*time.Hour)
	q := readmodels.CountQuery{Tenant: biReader.Tenant, From: from, To: to, Where: map[string][]string{"test": {"false"}}}
	rollups := func(basis string, by ...string) []readmodels.RollupLine {
		q := q
		q.GroupBy, q.Where = by, map[string][]string{"test": {"false"}, "grain": {readmodels.Hour}, "basis": {basis}}
		lines, err := counts.Rollups(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	sums := readmodels.MetricSums{
		Event: rollups(readmodels.ByEvent, "measure", "bucket"), Request: rollups(readmodels.ByRequest, "measure"), Days: &readmodels.AccountingSums{},
	}
	lines, err := counts.Accounting(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		sums.Days.Add(1, l.AccountingSums)
	}
	told := 0
	for _, v := range sums.Values() {
		var want float64
		if err := conn.QueryRow(t.Context(), v.SQL, clickhouse.Named("from", from), clickhouse.Named("to", to)).Scan(&want); err != nil {
			t.Fatal(v.Name, err)
		}
		switch {
		case v.Value == nil:
			if !math.IsNaN(want) && want != 0 {
				t.Errorf("%s is not told and is %v", v.Name, want)
			}
		case *v.Value != want:
			t.Errorf("%s is told as %v and is %v", v.Name, *v.Value, want)
		case want != 0:
			told++
		}
	}
	if told < 20 {
		t.Errorf("%d metrics are not 0", told)
	}
}
