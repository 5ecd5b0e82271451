package readmodels_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"recapito/api/reports/export"
	"recapito/readmodels"
)

// A Parquet file of the EDR, written to a table of ClickHouse's own making, is the EDR.
func TestClickHouseReadsTheParquetOfTheEDR(t *testing.T) {
	conn := open(t)
	want := world(t, conn)["t1"]
	var file bytes.Buffer
	w, err := export.New(export.Parquet, &file, readmodels.ColumnsOf[readmodels.EDR]())
	if err != nil {
		t.Fatal(err)
	}
	var values []any
	err = readmodels.EachEDR(t.Context(), conn, readmodels.EDRQuery{Tenant: "t1"}, func(r readmodels.EDR) error {
		values = readmodels.ValuesOf(values[:0], r)
		return w.Row(values)
	})
	if err != nil {
		t.Fatal(err)
	}
	var m export.Manifest
	if err := w.Close(&m); err != nil {
		t.Fatal(err)
	}
	var database string
	if err := conn.QueryRow(t.Context(), "SELECT currentDatabase()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "CREATE TABLE copied ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM edr LIMIT 0"); err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(engine(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	insert := url.URL{Scheme: "http", Host: base.Host, Path: "/", RawQuery: url.Values{
		"database": {database}, "query": {"INSERT INTO copied FORMAT Parquet"},
	}.Encode()}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, insert.String(), &file)
	if err != nil {
		t.Fatal(err)
	}
	if password, set := base.User.Password(); set {
		r.SetBasicAuth(base.User.Username(), password)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		var text bytes.Buffer
		_, _ = text.ReadFrom(answer.Body)
		t.Fatalf("ClickHouse answers %d: %s", answer.StatusCode, text.String())
	}
	var names []string
	for _, c := range readmodels.ColumnsOf[readmodels.EDR]() {
		names = append(names, c.Name)
	}
	list := strings.Join(names, ", ")
	var rows, differ uint64
	query := fmt.Sprintf(`SELECT count(), (SELECT count() FROM (SELECT %[1]s FROM edr WHERE tenant = 't1' EXCEPT SELECT %[1]s FROM copied)) FROM copied`, list)
	if err := conn.QueryRow(t.Context(), query).Scan(&rows, &differ); err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff([]uint64{uint64(len(want)), 0, uint64(len(want))}, []uint64{rows, differ, m.Rows}); d != "" {
		t.Error(d)
	}
}
