package clickhouse_test

import (
	"slices"
	"strings"
	"testing"
)

// Every format that the engine writes is passed through, and every one that it also reads
// brings the same rows back by an insert.
func TestEveryFormat(t *testing.T) {
	s := engine(t)
	db := database(t, open(t, s, ""))
	base := s.URL()
	for _, statement := range []string{
		"CREATE TABLE f (n UInt32, s String) ENGINE = MergeTree ORDER BY n", "CREATE TABLE back AS f",
		"INSERT INTO f SELECT number, concat('row ', toString(number), '\\t;\\'\"') FROM numbers(3000)",
	} {
		if a := post(t, base, q("database", db), statement); a.status != 200 {
			t.Fatalf("%s: %s", statement, a.body)
		}
	}
	// They need a schema, a registry or a template, or columns of their own.
	special := []string{"AvroConfluent", "GeoJSON", "Npy", "PNG", "Prometheus", "ProtobufSingle", "Template", "CapnProto", "TemplateIgnoreSpaces"}
	// They are written without what reading needs.
	oneWay := []string{"LineAsString", "RawBLOB", "CustomSeparated", "CustomSeparatedWithNames", "CustomSeparatedWithNamesAndTypes"}
	sum := func(table string) string {
		return post(t, base, q("database", db), "SELECT count(), sum(cityHash64(n, s)) FROM "+table).body
	}
	want, written, readBack := sum("f"), 0, 0
	list := post(t, base, nil, "SELECT name, is_input FROM system.formats WHERE is_output ORDER BY name").body
	for line := range strings.SplitSeq(strings.TrimSpace(list), "\n") {
		format, isInput, _ := strings.Cut(line, "\t")
		if slices.Contains(special, format) {
			continue
		}
		a := post(t, base, q("database", db, "default_format", format), "SELECT n, s FROM f ORDER BY n")
		if a.status != 200 || a.header.Get("X-ClickHouse-Format") != format || a.body == "" && format != "Null" {
			t.Errorf("%s: %d, called %s, %.200s", format, a.status, a.header.Get("X-ClickHouse-Format"), a.body)
			continue
		}
		written++
		// Raw ones escape nothing, so that a tab within a text ends it.
		if isInput != "1" || slices.Contains(oneWay, format) || strings.Contains(format, "Raw") {
			continue
		}
		if in := post(t, base, q("database", db, "query", "INSERT INTO back FORMAT "+format), a.body); in.status != 200 {
			t.Errorf("an insert of %s: %d %.300s", format, in.status, in.body)
		} else if got := sum("back"); got != want {
			t.Errorf("%s came back as %q, not %q", format, got, want)
		}
		readBack++
		if a := post(t, base, q("database", db), "TRUNCATE TABLE back"); a.status != 200 {
			t.Fatal(a.body)
		}
	}
	if written < 70 || readBack < 35 {
		t.Errorf("only %d formats were written and %d read", written, readBack)
	}
	t.Logf("%d formats were written, %d read back", written, readBack)
}
