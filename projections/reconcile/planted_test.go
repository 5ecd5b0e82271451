package reconcile_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections/follow"
	"recapito/readmodels"
)

// A wrong value in any column of any batch of a counting table, or of any span of it that
// is summed up, is found where it is: also one that the sums of the whole table do not
// show, such as a row that is filed under another batch or span.
func TestCompareSeesEveryColumnOfTheCounts(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 5, 10
	i.Start(clickhousetest.Database(t))
	i.Write(200)
	i.Complete()
	i.Stop()
	for _, kind := range []readmodels.Table{readmodels.AccountingTable, readmodels.RollupsTable} {
		kind.SpanSize = i.Span
		original := i.Table(kind.Projection)
		for _, in := range []struct{ table, by, key string }{{"", "first_seq", "seq"}, {"_spans", "span", "span"}} {
			planted := kind.Name("planted" + in.key)
			i.Exec(kind.Create(t.Context(), i.Conn, planted))
			places := i.places(original+in.table+merged(in.table), in.by)
			changed := fmt.Sprintf("row_number() OVER (PARTITION BY %s ORDER BY tuple(*)) = 1 AND %[1]s = ", in.by)
			var names, changes []string
			for n, column := range i.Columns(original + in.table) {
				name, typ, _ := strings.Cut(column, " ")
				if n >= len(places) {
					t.Fatalf("%s has %d places, and more columns", original+in.table, len(places))
				}
				names = append(names, name)
				changes = append(changes, fmt.Sprintf("if(%s%s, %s, %s) AS %[4]s", changed, places[n], changedValue(name, typ), name))
			}
			for _, other := range []string{"", "_spans", "_complete"} {
				selected := "*"
				if other == in.table {
					selected = "* REPLACE (" + strings.Join(changes, ", ") + ")"
				}
				i.Exec(i.Conn.Exec(t.Context(), "INSERT INTO "+planted+other+" SELECT "+selected+" FROM (SELECT * FROM "+original+other+merged(other)+")"))
			}
			i.Exec(kind.Show(t.Context(), i.Conn, planted))
			found := strings.Join(i.Differences(), "\n")
			for n, name := range names {
				if !regexp.MustCompile(`(?m)^` + kind.Projection + ` batches ` + in.key + ` ` + places[n] + `: `).MatchString(found) {
					t.Errorf("%s: a wrong value at %s %s is not found:\n%s", kind.Projection+in.table+"."+name, in.by, places[n], found)
				}
			}
			i.Exec(kind.Show(t.Context(), i.Conn, original))
			i.Exec(readmodels.Drop(t.Context(), i.Conn, planted))
		}
	}
	for view, sum := range map[string]string{"accounting": "unpriced", "rollups": "n"} {
		right := i.Strings("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '" + view + "'")[0]
		i.Exec(i.Conn.Exec(t.Context(), fmt.Sprintf("CREATE OR REPLACE VIEW %s AS SELECT * REPLACE (%s + 1 AS %[2]s) FROM (%s)", view, sum, right)))
		if found := strings.Join(i.Differences(), "\n"); !regexp.MustCompile(`(?m)^` + view + ` .*: ` + sum + ` without a cut is `).MatchString(found) {
			t.Errorf("what the view %s shows is not compared: %s", view, found)
		}
		i.Exec(i.Conn.Exec(t.Context(), "CREATE OR REPLACE VIEW "+view+" AS "+right))
	}
	if found := i.Differences(); len(found) > 0 {
		t.Errorf("after all is put right: %v", found)
	}
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
	i.T.Helper()
	return i.Strings(fmt.Sprintf("SELECT toString(%s) FROM %s GROUP BY %[1]s HAVING count() > 1 ORDER BY %[1]s", by, table))
}

// What is said of how far the tables are is compared too.
func TestCompareSeesWhatIsSaidOfCompleteness(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Start(clickhousetest.Database(t))
	i.Write(50)
	i.Complete()
	states := i.P.States()
	i.Stop()
	s := states[slices.IndexFunc(states, func(s follow.State) bool { return s.Projection == "edr" })]
	right := readmodels.Completeness{Projection: "edr", Seq: s.Events, Position: uint64(s.Position), Until: time.Now()}
	say := func(change func(*readmodels.Completeness)) string {
		said := right
		change(&said)
		i.Exec(readmodels.SetCompleteness(t.Context(), i.Conn, []readmodels.Completeness{said}))
		return strings.Join(i.Differences(), "\n")
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

// plant is a table of a view that is wrong, and what is found of it.
type plant struct{ name, view, rows, want string }

func TestCompareFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Start(clickhousetest.Database(t))
	i.Write(100)
	i.Complete()
	i.Stop()
	tables := map[string]readmodels.Table{
		"events": readmodels.EventsTable, "edr": readmodels.EDRTable,
		"notifications": readmodels.NotificationsTable,
		"accounting":    readmodels.AccountingTable, "rollups": readmodels.RollupsTable, "audit_log": readmodels.AuditTable,
	}
	left := map[string][]plant{}
	for _, p := range []plant{
		{"a row too many", "edr", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE notification = {n}", "edr t9/"},
		{"an attempt less", "edr", "* FROM {t} WHERE notification != {n}", "/1: missing"},
		{"a changed status", "edr", "* REPLACE (tuple(toInt8(9), toInt64(0), 'gone', '') AS outcome) FROM {t}", ": status, code"},
		{"a changed time", "edr", "* REPLACE (requested_at + INTERVAL 1 MICROSECOND AS requested_at) FROM {t}", "requested_at"},
		{"an event twice", "events", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE seq = 3", ": repeated"},
		{"an event less", "events", "* FROM {t} WHERE seq != 7", ": missing"},
		{"an event too many", "events", "* FROM {t} UNION ALL SELECT * REPLACE (1000000 AS seq, 's9' AS stream) FROM {t} WHERE position = (SELECT position FROM {t} WHERE seq = 3)", "s9@"},
		{"changed data", "events", "* REPLACE (if(seq = 9, 'x', data) AS data) FROM {t}", ": data"},
		{"a notification less", "notifications", "* FROM {t} WHERE notification != {n}", ": missing"},
		{"a notification too many", "notifications", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} WHERE notification = {n}", "notifications t9/"},
		{"a message more", "accounting", "* REPLACE (messages + 1 AS messages) FROM {t}", "messages is "},
		{"a unit more", "accounting", "* REPLACE (units + 1 AS units) FROM {t}", " units is "},
		{"a billable message more", "accounting", "* REPLACE (billable + 1 AS billable) FROM {t}", "billable is "},
		{"a billable unit more", "accounting", "* REPLACE (billable_units + 1 AS billable_units) FROM {t}", "billable_units is "},
		{"a message without a price more", "accounting", "* REPLACE (unpriced + 1 AS unpriced) FROM {t}", "unpriced is "},
		{"sums less", "accounting", "* FROM {t} WHERE channel = ''", "accounting batches seq "},
		{"sums too many", "accounting", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t}", "accounting t9/"},
		{"another batch", "accounting", "* REPLACE (first_position + 1 AS first_position) FROM {t}", "accounting batches seq "},
		{"a changed count", "rollups", "* REPLACE (n + 1 AS n) FROM {t}", "n is "},
		{"counts less", "rollups", "* FROM {t} WHERE grain != 'hour'", "/hour/"},
		{"counts too many", "rollups", "* FROM {t} UNION ALL SELECT * REPLACE ('t9' AS tenant) FROM {t} LIMIT 1 BY tenant", "rollups t9/"},
		{"a batch of counts elsewhere", "rollups", "* REPLACE (first_position + 1 AS first_position) FROM {t}", "rollups batches seq "},
		{"calls too many", "audit_log", "* FROM {t} UNION ALL SELECT * REPLACE (id || '9' AS id) FROM {t}", ": extra"},
		{"a call twice", "audit_log", "* FROM {t} UNION ALL SELECT * REPLACE (at + INTERVAL 1 SECOND AS at) FROM {t}", ": extra"},
		{"calls less", "audit_log", "* FROM {t} WHERE false", ": missing"},
		{"a changed answer", "audit_log", "* REPLACE (status + 1 AS status) FROM {t}", "status is "},
		{"nothing", "events", "* FROM {t}", ""},
		{"nothing", "edr", "* FROM {t}", ""},
	} {
		left[p.view] = append(left[p.view], p)
	}
	// One plant of each view at a time, as a comparison takes a second: what is found of a
	// view says its name.
	for round := 0; len(left) > 0; round++ {
		now := map[string]plant{}
		for view, plants := range left {
			if now[view] = plants[0]; len(plants) == 1 {
				delete(left, view)
			} else {
				left[view] = plants[1:]
			}
		}
		var restored []func() error
		from := "(SELECT min(notification) FROM " + i.Table("edr") + ")"
		for view, p := range now {
			kind, original := tables[view], i.Table(view)
			planted := kind.Name(fmt.Sprintf("planted%d", round))
			err := errors.Join(
				kind.Create(t.Context(), i.Conn, planted),
				i.Conn.Exec(t.Context(), "INSERT INTO "+planted+" SELECT "+strings.NewReplacer("{t}", original, "{n}", from).Replace(p.rows)),
				kind.Show(t.Context(), i.Conn, planted),
			)
			if err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
			restored = append(restored, func() error {
				return errors.Join(kind.Show(t.Context(), i.Conn, original), readmodels.Drop(t.Context(), i.Conn, planted))
			})
		}
		all := i.Differences()
		for view, p := range now {
			found := strings.Join(slices.DeleteFunc(slices.Clone(all), func(d string) bool { return !strings.HasPrefix(d, view+" ") }), "\n")
			if p.want == "" && found != "" || !strings.Contains(found, p.want) {
				t.Errorf("%s: found %q of %s, want %q among it", p.name, found, view, p.want)
			}
		}
		for _, restore := range restored {
			if err := restore(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found := i.Differences(); len(found) > 0 {
		t.Errorf("after all is put right: %v", found)
	}
}
