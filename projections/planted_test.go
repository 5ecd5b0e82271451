package projections_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections"
	"recapito/readmodels"
)

// A wrong value in any column of any batch of a counting table, or of any span of it that
// is summed up, is found where it is: also one that the sums of the whole table do not
// show, such as a row that is filed under another batch or span.
func TestCompareSeesEveryColumnOfTheCounts(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.limit, i.span = 5, 10
	i.start(clickhousetest.New(t))
	i.write(300)
	i.whole()
	i.stop()
	for _, kind := range []readmodels.Table{readmodels.AccountingTable, readmodels.RollupsTable} {
		kind.SpanSize = i.span
		original := i.table(kind.Projection)
		for _, in := range []struct{ table, by, key string }{{"", "first_seq", "seq"}, {"_spans", "span", "span"}} {
			planted := kind.Name("planted" + in.key)
			i.exec(kind.Create(t.Context(), i.conn, planted))
			places := i.places(original+in.table+merged(in.table), in.by)
			changed := fmt.Sprintf("row_number() OVER (PARTITION BY %s ORDER BY tuple(*)) = 1 AND %[1]s = ", in.by)
			var names, changes []string
			for n, column := range i.columns(original + in.table) {
				name, typ, _ := strings.Cut(column, " ")
				if n >= len(places) {
					t.Fatalf("%s has %d places, and more columns", original+in.table, len(places))
				}
				names = append(names, name)
				changes = append(changes, fmt.Sprintf("if(%s%s, %s, %s) AS %[4]s", changed, places[n], changedValue(name, typ), name))
			}
			for _, other := range []string{"", "_spans", "_whole"} {
				selected := "*"
				if other == in.table {
					selected = "* REPLACE (" + strings.Join(changes, ", ") + ")"
				}
				i.exec(i.conn.Exec(t.Context(), "INSERT INTO "+planted+other+" SELECT "+selected+" FROM (SELECT * FROM "+original+other+merged(other)+")"))
			}
			i.exec(kind.Show(t.Context(), i.conn, planted))
			found := strings.Join(i.differences(), "\n")
			for n, name := range names {
				if !regexp.MustCompile(`(?m)^` + kind.Projection + ` batches ` + in.key + ` ` + places[n] + `: `).MatchString(found) {
					t.Errorf("%s: a wrong value at %s %s is not found:\n%s", kind.Projection+in.table+"."+name, in.by, places[n], found)
				}
			}
			i.exec(kind.Show(t.Context(), i.conn, original))
			i.exec(readmodels.Drop(t.Context(), i.conn, planted))
		}
	}
	for view, sum := range map[string]string{"accounting": "unpriced", "rollups": "n"} {
		right := i.strings("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '" + view + "'")[0]
		i.exec(i.conn.Exec(t.Context(), fmt.Sprintf("CREATE OR REPLACE VIEW %s AS SELECT * REPLACE (%s + 1 AS %[2]s) FROM (%s)", view, sum, right)))
		if found := strings.Join(i.differences(), "\n"); !regexp.MustCompile(`(?m)^` + view + ` .*: ` + sum + ` without a cut is `).MatchString(found) {
			t.Errorf("what the view %s shows is not compared: %s", view, found)
		}
		i.exec(i.conn.Exec(t.Context(), "CREATE OR REPLACE VIEW "+view+" AS "+right))
	}
	if found := i.differences(); len(found) > 0 {
		t.Errorf("after all is put right: %v", found)
	}
}

func (i *instance) exec(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// columns answers a table's columns and their types.
func (i *instance) columns(table string) []string {
	i.t.Helper()
	return i.strings("SELECT name || ' ' || type FROM system.columns WHERE database = currentDatabase() AND table = '" + table + "' ORDER BY position")
}

// merged is how one of a counting table's tables is read: what was written twice is there
// once, or has a run of its own.
func merged(table string) string {
	if table == "_spans" {
		return ""
	}
	return " FINAL"
}

// places answers batches or spans of at least two rows, in order.
func (i *instance) places(table, by string) []string {
	i.t.Helper()
	return i.strings(fmt.Sprintf("SELECT toString(%s) FROM %s GROUP BY %[1]s HAVING count() > 1 ORDER BY %[1]s", by, table))
}

func (i *instance) strings(query string) (all []string) {
	i.t.Helper()
	rows, err := i.conn.Query(i.t.Context(), query)
	i.exec(err)
	defer rows.Close()
	for rows.Next() {
		var one string
		i.exec(rows.Scan(&one))
		all = append(all, one)
	}
	i.exec(rows.Err())
	return all
}

// What is said of how far the tables are is compared too.
func TestCompareSeesWhatIsSaidOfCompleteness(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start(clickhousetest.New(t))
	i.write(50)
	i.whole()
	states := i.p.States()
	i.stop()
	s := states[slices.IndexFunc(states, func(s projections.State) bool { return s.Projection == "edr" })]
	right := readmodels.Completeness{Projection: "edr", Seq: s.Events, Position: uint64(s.Position), Until: time.Now()}
	say := func(change func(*readmodels.Completeness)) string {
		said := right
		change(&said)
		i.exec(readmodels.SetCompleteness(t.Context(), i.conn, []readmodels.Completeness{said}))
		return strings.Join(i.differences(), "\n")
	}
	for _, plant := range []struct {
		name   string
		change func(*readmodels.Completeness)
		want   string
	}{
		{"another position", func(c *readmodels.Completeness) { c.Position++ }, "completeness edr: position is "},
		{"an event less", func(c *readmodels.Completeness) { c.Seq-- }, "completeness edr: position is "},
		{"an event too many", func(c *readmodels.Completeness) { c.Seq++ }, "completeness edr: seq is "},
		{"a time to come", func(c *readmodels.Completeness) { c.Until = c.Until.Add(time.Hour) }, "complete_until is after checked_at"},
		{"a time after an event that is not there", func(c *readmodels.Completeness) {
			c.Seq, c.Position, c.Until = 0, 0, time.Now().Add(time.Hour)
		}, "complete_until is after an event that the table lacks"},
	} {
		if found := say(plant.change); !strings.Contains(found, plant.want) {
			t.Errorf("%s: found %q, want %q among it", plant.name, found, plant.want)
		}
	}
	if found := say(func(*readmodels.Completeness) {}); found != "" {
		t.Errorf("what is right: %s", found)
	}
	if found := say(func(c *readmodels.Completeness) { c.Projection = "planted" }); !strings.Contains(found, "completeness planted: extra") {
		t.Errorf("a projection that there is not: found %q", found)
	}
}
