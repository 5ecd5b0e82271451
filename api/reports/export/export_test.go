package export_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"recapito/api/reports/export"
	"recapito/readmodels"
)

var columns = []readmodels.Column{
	{Name: "zeta", Kind: readmodels.Text}, {Name: "n", Kind: readmodels.Whole}, {Name: "share", Kind: readmodels.Real},
	{Name: "test", Kind: readmodels.Truth}, {Name: "at", Kind: readmodels.Moment}, {Name: "day", Kind: readmodels.Date},
	{Name: "price", Kind: readmodels.Amount}, {Name: "fields", Kind: readmodels.Object},
}

var moment = time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)

func rows() [][]any {
	return [][]any{
		{"a \"b\",\r\nç;'", int64(-3), 0.25, true, moment, moment.Truncate(24 * time.Hour), "12.3456", `{"office":"Rome"}`},
		{nil, nil, nil, nil, nil, nil, nil, nil},
		{"", int64(0), float64(0), false, time.Unix(0, 0).UTC(), time.Unix(0, 0).UTC(), "0", `{}`},
	}
}

func file(t *testing.T, f export.Format, columns []readmodels.Column, rows [][]any) (string, export.Manifest) {
	t.Helper()
	var b bytes.Buffer
	w, err := export.New(f, &b, columns)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Row(r); err != nil {
			t.Fatal(err)
		}
	}
	var m export.Manifest
	if err := w.Close(&m); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	if m.SHA256 != hex.EncodeToString(sum[:]) || m.Bytes != uint64(b.Len()) || m.Rows != uint64(len(rows)) {
		t.Errorf("%s: the manifest is not of the file: %+v", f.Name, m)
	}
	return b.String(), m
}

func TestCSV(t *testing.T) {
	text, _ := file(t, export.CSV, columns, rows())
	got, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"zeta", "n", "share", "test", "at", "day", "price", "fields"},
		{"a \"b\",\nç;'", "-3", "0.25", "true", "2026-11-23T10:00:00.123456Z", "2026-11-23", "12.3456", `{"office":"Rome"}`},
		{"", "", "", "", "", "", "", ""},
		{"", "0", "0", "false", "1970-01-01T00:00:00.000000Z", "1970-01-01", "0", "{}"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Count(text, "\r\n") != 5 || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
		t.Error("a line does not end with CR LF")
	}
}

func TestJSONLines(t *testing.T) {
	text, _ := file(t, export.JSONL, columns, rows())
	want := `{"zeta":"a \"b\",\r\nç;'","n":-3,"share":0.25,"test":true,"at":"2026-11-23T10:00:00.123456Z","day":"2026-11-23","price":"12.3456","fields":{"office":"Rome"}}
{"zeta":null,"n":null,"share":null,"test":null,"at":null,"day":null,"price":null,"fields":null}
{"zeta":"","n":0,"share":0,"test":false,"at":"1970-01-01T00:00:00.000000Z","day":"1970-01-01","price":"0","fields":{}}
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

// Parquet by its own library; readmodels reads it with ClickHouse.
func TestParquetKeepsColumnsInOrder(t *testing.T) {
	var many [][]any
	for range 15_000 { // three row groups
		many = append(many, rows()...)
	}
	content, _ := file(t, export.Parquet, columns, many)
	f, err := parquet.OpenFile(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var names, want []string
	for _, c := range f.Root().Columns() {
		names = append(names, c.Name())
	}
	for _, c := range columns {
		want = append(want, c.Name)
	}
	if diff := cmp.Diff(want, names); diff != "" || f.NumRows() != int64(len(many)) || len(f.RowGroups()) != 3 {
		t.Errorf("%d rows in %d groups; %s", f.NumRows(), len(f.RowGroups()), diff)
	}
	first := make([]parquet.Row, 3)
	if n, err := f.RowGroups()[2].Rows().ReadRows(first); n != 3 || err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	// The third group begins with the second of the three rows: 40,000 % 3 == 1.
	if got := fmt.Sprint(first[2][0], first[2][1], first[2][6], first[0][0].IsNull(), first[1][0]); got != "a \"b\",\r\nç;' -3 12345600 true " {
		t.Errorf("the rows of the third group: %q", got)
	}
}

func TestWhatIsNoRowIsRefused(t *testing.T) {
	for _, f := range export.Formats() {
		w, err := export.New(f, io.Discard, columns[:1])
		if err != nil {
			t.Fatal(err)
		}
		if w.Row([]any{"a", "b"}) == nil || w.Row([]any{struct{}{}}) == nil {
			t.Errorf("%s: a row that is none is taken", f.Name)
		}
	}
	w, _ := export.New(export.Parquet, io.Discard, []readmodels.Column{{Name: "price", Kind: readmodels.Amount}})
	for _, wrong := range []string{"x", "0.0000001", "10000000000000"} {
		if w.Row([]any{wrong}) == nil {
			t.Errorf("the amount %s is taken", wrong)
		}
	}
	if _, err := export.New(export.Format{}, io.Discard, nil); err == nil {
		t.Error("a format that is none is taken")
	}
	for _, f := range export.Formats() {
		failing, err := export.New(f, failingWriter{}, columns[:1])
		for i := 0; err == nil && i < 100_000; i++ {
			err = failing.Row([]any{strings.Repeat("text", 10)})
		}
		if err == nil {
			err = failing.Close(&export.Manifest{})
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: what could not be written: %v", f.Name, err)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// What is held does not grow with the rows.
func TestMemoryIsFlat(t *testing.T) {
	for _, f := range export.Formats() {
		w, err := export.New(f, io.Discard, columns)
		if err != nil {
			t.Fatal(err)
		}
		row := rows()[0]
		heap := func(n int) int64 {
			for i := range n {
				row[0], row[1] = fmt.Sprintf("value %d", i), int64(i)
				if err := w.Row(row); err != nil {
					t.Fatal(err)
				}
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		few, many := heap(20_000), heap(200_000)
		if grown := many - few; grown > 4<<20 {
			t.Errorf("%s: %d bytes more after ten times as many rows", f.Name, grown)
		}
	}
}
