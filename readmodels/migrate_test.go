package readmodels_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"recapito/readmodels"
)

func files(contents map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range contents {
		m["schema/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func count(t *testing.T, conn driver.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestMigrationsAreAppliedOnceAndInOrder(t *testing.T) {
	conn := open(t)
	first := map[string]string{"0001_a.sql": "CREATE TABLE a (x UInt8) ENGINE = MergeTree ORDER BY x;"}
	second := map[string]string{
		"0001_a.sql": first["0001_a.sql"],
		"0002_b.sql": "-- a comment; with a semicolon\nINSERT INTO a VALUES (1);\nINSERT INTO a\nVALUES (2);\n",
	}
	for _, all := range []map[string]string{first, first, second, second, first} {
		if err := readmodels.MigrateFrom(t.Context(), conn, files(all)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, conn, "SELECT count() FROM a"); n != 2 {
		t.Errorf("%d rows, want 2: each migration runs once", n)
	}
	if n := count(t, conn, "SELECT count() FROM schema_migrations FINAL"); n != 2 {
		t.Errorf("%d migrations recorded, want 2", n)
	}
}

func TestMigrationKilledOnTheWayIsResumed(t *testing.T) {
	conn := open(t)
	steps := []string{
		"CREATE TABLE IF NOT EXISTS a (x UInt8) ENGINE = MergeTree ORDER BY x;\n",
		"ALTER TABLE a ADD COLUMN IF NOT EXISTS y UInt8;\n",
		"CREATE TABLE IF NOT EXISTS b (x UInt8) ENGINE = MergeTree ORDER BY x;\n",
	}
	whole := files(map[string]string{"0001_a.sql": strings.Join(steps, "")})
	for killed := range steps {
		broken := strings.Join(steps[:killed], "") + "SELECT * FROM nothing_of_that_name;\n"
		if err := readmodels.MigrateFrom(t.Context(), conn, files(map[string]string{"0001_a.sql": broken})); err == nil {
			t.Fatal("a migration that failed was not an error")
		}
		if n := count(t, conn, "SELECT count() FROM schema_migrations"); n != 0 {
			t.Fatalf("%d migrations recorded after one that failed", n)
		}
	}
	if err := readmodels.MigrateFrom(t.Context(), conn, whole); err != nil {
		t.Fatal(err)
	}
	if n := count(t, conn, "SELECT count(y) FROM a") + count(t, conn, "SELECT count() FROM b"); n != 0 {
		t.Error(n)
	}
}

func TestChangedMigrationIsRefused(t *testing.T) {
	conn := open(t)
	if err := readmodels.MigrateFrom(t.Context(), conn, files(map[string]string{"0001_a.sql": "SELECT 1;"})); err != nil {
		t.Fatal(err)
	}
	changed := files(map[string]string{
		"0001_a.sql": "SELECT 2;", "0002_b.sql": "CREATE TABLE b (x UInt8) ENGINE = MergeTree ORDER BY x;",
	})
	err := readmodels.MigrateFrom(t.Context(), conn, changed)
	if !errors.Is(err, readmodels.ErrChangedMigration) || !strings.Contains(err.Error(), "0001_a") {
		t.Errorf("%v, want ErrChangedMigration naming 0001_a", err)
	}
	if n := count(t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'b'"); n != 0 {
		t.Error("a later migration ran all the same")
	}
	twice := files(map[string]string{"0001_a.sql": "SELECT 1;", "0001_b.sql": "SELECT 1;"})
	if err := readmodels.MigrateFrom(t.Context(), conn, twice); err == nil {
		t.Error("a number given twice is no error")
	}
}

// The generation id is made once, whoever migrates at the same time, and another
// database has another.
func TestGeneration(t *testing.T) {
	ids := map[string]bool{}
	for range 2 {
		conn := open(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := readmodels.Migrate(context.Background(), conn); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		before, err := readmodels.Generation(t.Context(), conn)
		if err != nil || before == "" {
			t.Fatal(before, err)
		}
		if err := readmodels.Migrate(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		if after, err := readmodels.Generation(t.Context(), conn); err != nil || after != before {
			t.Errorf("%s, %v, want %s", after, err, before)
		}
		ids[before] = true
	}
	if len(ids) != 2 {
		t.Error("two databases have one generation id")
	}
}

// What is in databases out there must not read differently later: a changed table is a
// new version with files of its own, a changed migration another migration. (A view may
// change: it is made anew at every start.)
func TestSchemaOfAVersionNeverChanges(t *testing.T) {
	want := map[string]string{
		"schema/0001_generation.sql":    "8351dd22dd35f39b",
		"schema/0002_completeness.sql":  "1cb36847e3716586",
		"schema/0003_completeness.sql":  "060a8848f8b05ae7",
		"schema/accounting_v3.sql":      "be50e894f4157965",
		"schema/accounting_v3_span.sql": "6dea57a2e223aa06",
		"schema/audit_log_v1.sql":       "88bea50cc28a6c51",
		"schema/edr_v3.sql":             "ae9bf16bdb78e502",
		"schema/events_v2.sql":          "c3d1d50b0a528be3",
		"schema/notifications_v1.sql":   "642669d793327912",
		"schema/rollups_v3.sql":         "9cb70a40a3144769",
		"schema/rollups_v3_span.sql":    "17006a6238fca802",
	}
	got := map[string]string{}
	names, err := fs.Glob(readmodels.SchemaFiles(), "schema/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_view.sql") {
			continue
		}
		text, err := fs.ReadFile(readmodels.SchemaFiles(), name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(strings.Join(readmodels.Statements(string(text)), ";")))
		got[name] = hex.EncodeToString(sum[:8])
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSwapShowsAnotherTableAtOnce(t *testing.T) {
	conn := open(t)
	_, old := tables(t, conn)
	insert(t, conn, readmodels.EDRTable, old, "", part("a", 1, 1, 1, "scheduled"))
	beside := readmodels.EDRTable.Name("u")
	if err := readmodels.EDRTable.Create(t.Context(), conn, beside); err != nil {
		t.Fatal(err)
	}
	insert(t, conn, readmodels.EDRTable, beside, "", part("a", 1, 1, 1, "scheduled"), part("b", 1, 1, 2, "scheduled"))
	if n := count(t, conn, "SELECT count() FROM edr"); n != 1 {
		t.Errorf("%d rows before the swap, want 1", n)
	}
	for range 2 { // each step may be repeated
		if err := errors.Join(readmodels.EDRTable.Show(t.Context(), conn, beside), readmodels.Drop(t.Context(), conn, old)); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, conn, "SELECT count() FROM edr"); n != 2 {
		t.Errorf("%d rows after the swap, want 2", n)
	}
	if got, err := readmodels.EDRTable.Shown(t.Context(), conn); err != nil || got != beside {
		t.Errorf("the view shows %q, %v; want %s", got, err, beside)
	}
	if got, err := readmodels.AccountingTable.Shown(t.Context(), conn); err != nil || got != "" {
		t.Errorf("a view that is not there shows %q, %v", got, err)
	}
	for name, want := range map[string]bool{old: false, beside: true} {
		if got, err := readmodels.Exists(t.Context(), conn, name); err != nil || got != want {
			t.Errorf("%s exists: %v, %v", name, got, err)
		}
	}
	if err := readmodels.Drop(t.Context(), conn, "edr; DROP TABLE generation"); err == nil {
		t.Error("a name that is none was taken")
	}
}

func TestCompletenessIsThatOfTheLastLook(t *testing.T) {
	conn := open(t)
	if err := readmodels.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	until := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	for _, rows := range [][]readmodels.Completeness{
		{{Projection: "edr", Until: until, Seq: 9, Position: 99}, {Projection: "events", Until: until, Seq: 8, Position: 88}},
		{{Projection: "edr", Seq: 1, Position: 11}}, // begun anew
	} {
		if err := readmodels.SetCompleteness(t.Context(), conn, rows); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readmodels.Completenesses(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	want := []readmodels.Completeness{{Projection: "edr", Seq: 1, Position: 11}, {Projection: "events", Until: until, Seq: 8, Position: 88}}
	if d := gocmp.Diff(want, got, cmpopts.IgnoreFields(readmodels.Completeness{}, "CheckedAt")); d != "" {
		t.Error(d)
	}
	if got[0].CheckedAt.IsZero() {
		t.Error("it does not say when it was checked")
	}
}
