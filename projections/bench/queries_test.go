package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recapito/projections/follow"
	"recapito/projections/marks"
	"recapito/readmodels"
)

const (
	goalMonth    = 200     // ms, a tenant's month of accounting
	goalPerson   = 100     // ms, the history of one person
	goalRollup   = 50      // ms, p99 of a dashboard's rollups
	queries      = 400     // of each kind
	copiedDays   = 365     // over which copies are spread
	copiedAtOnce = 150_000 // attempts: a query has a memory limit
)

// BenchmarkQueries asks large tables. Their rows are those of a projection of real
// histories, copied by the engine under other ids, persons and days; the sums of the
// histories are a span, and each copy is another one.
func BenchmarkQueries(b *testing.B) {
	log, events := store(b, sized[uint64](200_000, readmodels.Span))
	models := newReadModels(b)
	p := project(b, log, follow.ClickHouse(models.Conn, nil))
	p.settle(b, "projecting what is copied", events)
	p.stop()
	m := large{b: b, readModels: models, tables: map[string]string{}}
	m.find()
	m.exports(events)
	one := m.count("SELECT count() FROM edr")
	copies := max(int(sized[uint64](2_000_000, 100_000_000)/one), 1)
	m.copy(copies, max(copiedAtOnce/int(one), 1))
	m.rest()
	m.closeMonths(m.tables["edr"])
	attempts := m.count("SELECT count() FROM " + m.tables["edr"])
	what := func(kind string) string { return format("%s over %d attempts", kind, attempts) }
	figures.atMost(what("a tenant's month of accounting, p99"), m.ask(
		"SELECT channel, scenario, status, sum(messages), sum(units), sum(billable), sum(unpriced) FROM accounting WHERE tenant = {tenant:String} AND day BETWEEN {day:Date} AND {day:Date} + 29 GROUP BY ALL"), goalMonth, "ms")
	figures.atMost(what("one person's history, p99"), m.persons(), goalPerson, "ms")
	figures.atMost(what("an hour by minute, p99"), m.ask(
		"SELECT start, sum(sent), sum(delivered), sum(undelivered) FROM rollup_minute WHERE tenant = {tenant:String} AND start BETWEEN {at:DateTime('UTC')} AND {at:DateTime('UTC')} + INTERVAL 1 HOUR GROUP BY start ORDER BY start"), goalRollup, "ms")
	figures.atMost(what("a day by hour and channel, p99"), m.ask(
		"SELECT start, channel, sum(sent), sum(delivered), sum(failed_over) FROM rollup_hour WHERE tenant = {tenant:String} AND start BETWEEN {at:DateTime('UTC')} AND {at:DateTime('UTC')} + INTERVAL 1 DAY GROUP BY ALL ORDER BY start"), goalRollup, "ms")
	figures.atMost(what("a month by day, p99"), m.ask(
		"SELECT start, sum(sent), sum(delivered), sum(read) FROM rollup_day WHERE tenant = {tenant:String} AND start BETWEEN {at:DateTime('UTC')} AND {at:DateTime('UTC')} + INTERVAL 30 DAY GROUP BY start ORDER BY start"), goalRollup, "ms")
	figures.atMost(what("a day's latency quantiles, p99"), m.ask(
		"SELECT latency, quantilesExactWeighted(0.5, 0.99)(to_ms, toUInt64(greatest(n, 0))) FROM rollup_latency WHERE tenant = {tenant:String} AND grain = 'hour' AND start BETWEEN {at:DateTime('UTC')} AND {at:DateTime('UTC')} + INTERVAL 1 DAY GROUP BY latency"), goalRollup, "ms")
	m.sizes()
	figures.atMost("memory of the engine, large tables", memory(b, models.child.PID()), goalBytes, "MiB")
	b.ReportMetric(0, "ns/op")
}

// large is a database that is filled by copying.
type large struct {
	readModels
	b      *testing.B
	tables map[string]string // by projection
}

func (m *large) find() {
	for _, name := range []string{"edr", "accounting", "rollups"} {
		const query = "SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, '^' || {name:String} || '_v[0-9]+_[0-9a-f]+$')"
		var table string
		if err := m.QueryRow(m.b.Context(), query, clickhouse.Named("name", name)).Scan(&table); err != nil {
			m.b.Fatalf("looking for the table of %s: %v", name, err)
		}
		m.tables[name] = table
	}
}

func (m *large) count(query string) (n uint64) {
	if err := m.QueryRow(m.b.Context(), query).Scan(&n); err != nil {
		m.b.Fatal(err)
	}
	return n
}

// texts answers the one column of a query.
func (m *large) texts(query string, args ...any) (all []string) {
	rows, err := m.Query(m.b.Context(), query, args...)
	if err != nil {
		m.b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			m.b.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		m.b.Fatal(err)
	}
	return all
}

func (m *large) exec(statement string) {
	if err := m.Exec(m.b.Context(), statement); err != nil {
		m.b.Fatalf("%v: %.300s", err, statement)
	}
}

// copy makes so many copies of every row, each a day later than the one before. The
// attempts copied are merged first, as they would be but for the newest.
func (m *large) copy(copies, atOnce int) {
	for _, kind := range []readmodels.Table{readmodels.AccountingTable, readmodels.RollupsTable} {
		if err := kind.Sum(m.b.Context(), m.Conn, m.tables[kind.Projection], 0); err != nil {
			m.b.Fatal(err)
		}
	}
	edr, accounting, rollups := m.tables["edr"], m.tables["accounting"], m.tables["rollups"]
	from := map[string]string{edr: edr + " FINAL"}
	for _, table := range []string{accounting, rollups} { // one of the runs that summed the span up
		from[table+"_spans"] = table + "_spans WHERE run = (SELECT min(run) FROM " + table + "_complete)"
	}
	origin := map[string]string{}
	for table, rows := range from {
		origin[table] = table + "_origin"
		m.exec("CREATE TABLE " + origin[table] + " AS " + table)
		m.exec("INSERT INTO " + origin[table] + " SELECT * FROM " + rows + " SETTINGS max_partitions_per_insert_block = 0")
	}
	defer func() {
		for _, table := range origin {
			m.exec("DROP TABLE " + table)
		}
	}()
	tell := progress("copying attempts")
	for first := 1; first <= copies; first += atOnce {
		last := min(first+atOnce-1, copies)
		each := fmt.Sprintf(" CROSS JOIN (SELECT number AS k FROM numbers(%d, %d)) AS ks SETTINGS max_partitions_per_insert_block = 0", first, last-first+1)
		m.exec("INSERT INTO " + edr + m.list(edr) + " SELECT " + m.moved(edr) + " FROM " + origin[edr] + each)
		for _, table := range []string{accounting, rollups} {
			m.exec("INSERT INTO " + table + "_spans" + m.list(table+"_spans") + " SELECT " + m.moved(table+"_spans") + " FROM " + origin[table+"_spans"] + each)
			m.exec(fmt.Sprintf("INSERT INTO %s_complete (span, run) SELECT number, number FROM numbers(%d, %d)", table, first, last-first+1))
		}
		tell(uint64(last), uint64(copies))
	}
}

// rest waits until the engine has merged what was copied at once: an instance adds as
// much in months.
func (m *large) rest() {
	const longest = 15 * time.Minute
	tell := progress("merges under way")
	for began := time.Now(); time.Since(began) < longest; time.Sleep(time.Second) {
		merges := m.count("SELECT count() FROM system.merges")
		if merges == 0 {
			return
		}
		tell(0, merges)
	}
	say("merges are still under way after %s", longest)
}

// closeMonths makes every month but the newest one part, as the engine does once nothing
// has come to it for a day.
func (m *large) closeMonths(table string) {
	const query = "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String} ORDER BY partition_id DESC"
	months := m.texts(query, clickhouse.Named("table", table))
	tell := progress("months made one part")
	for i, one := range months[min(1, len(months)):] {
		m.exec("OPTIMIZE TABLE " + table + " PARTITION ID '" + one + "' FINAL SETTINGS max_execution_time = 0")
		tell(uint64(i+1), uint64(len(months)-1))
	}
}

func (m *large) columns(table string) (names, types []string) {
	const query = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
	rows, err := m.Query(m.b.Context(), query, clickhouse.Named("table", table))
	if err != nil {
		m.b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			m.b.Fatal(err)
		}
		names, types = append(names, name), append(types, typ)
	}
	if err := rows.Err(); err != nil {
		m.b.Fatal(err)
	}
	return names, types
}

func (m *large) list(table string) string {
	names, _ := m.columns(table)
	return " (" + strings.Join(names, ", ") + ")"
}

// moved are the columns of copy k.
func (m *large) moved(table string) string {
	names, types := m.columns(table)
	days := fmt.Sprintf("toIntervalDay(k %% %d)", copiedDays)
	for i, name := range names {
		switch {
		case name == "notification":
			names[i] = "lower(hex(sipHash128(notification, k)))"
		case name == "person":
			names[i] = "if(person = '', '', concat(substring(person, 1, 32), leftPad(toString(k % 50), 4, '0')))"
		case name == "span":
			names[i] = "span + k"
		case name == "run":
			names[i] = "k"
		case name == "day" || name == "start" || strings.Contains(types[i], "DateTime64"):
			names[i] = name + " + " + days
		}
	}
	return strings.Join(names, ", ")
}

// ask asks a query for tenants and days, and answers the 99th percentile of how long.
func (m *large) ask(query string) float64 {
	random := rand.New(rand.NewPCG(1, 2))
	var took []time.Duration
	for range queries {
		at := time.Date(2026, 11, 2, random.IntN(24), 0, 0, 0, time.UTC).AddDate(0, 0, random.IntN(copiedDays-40))
		began := time.Now()
		rows, err := m.Query(m.b.Context(), query, clickhouse.Named("tenant", "banca-nord"),
			clickhouse.Named("day", at.Format(time.DateOnly)), clickhouse.Named("at", at.Format(time.DateTime)))
		if err != nil {
			m.b.Fatalf("%v: %.200s", err, query)
		}
		for rows.Next() {
			continue // all of it
		}
		if err := rows.Err(); err != nil {
			m.b.Fatal(err)
		}
		_ = rows.Close()
		took = append(took, time.Since(began))
	}
	return percentiles(took)
}

// percentiles says the median, which a p99 on a busy machine does not tell of, and answers
// the 99th percentile.
func percentiles(took []time.Duration) float64 {
	say("p50 %.1f ms", millis(quantile(took, 50)))
	return millis(quantile(took, 99))
}

// persons asks for the newest page of a person's attempts, as the API does.
func (m *large) persons() float64 {
	persons := m.texts(fmt.Sprintf("SELECT DISTINCT person FROM %s WHERE tenant = 'banca-nord' AND person != '' LIMIT %d", m.tables["edr"], queries))
	var took []time.Duration
	found := 0
	for _, person := range persons {
		q := readmodels.EDRQuery{Tenant: "banca-nord"}
		q.Is = map[string]string{"person": person}
		began := time.Now()
		page, err := readmodels.EDRs(m.b.Context(), m.Conn, q)
		if err != nil {
			m.b.Fatal(err)
		}
		took = append(took, time.Since(began))
		found += len(page.Rows)
	}
	figures.add("attempts of a person, mean", 0, format("%.1f", float64(found)/float64(max(len(persons), 1))), "")
	return percentiles(took)
}

// exports hands over all attempts of a tenant, as they are now and as they were.
func (m *large) exports(events uint64) {
	q := readmodels.EDRQuery{Tenant: "banca-nord"}
	past := marks.Past{Conn: m.Conn, Codec: filled.codec}
	for _, e := range []struct {
		what string
		asOf *uint64
		each func(context.Context, readmodels.EDRQuery, func(readmodels.EDR) error) error
	}{
		{"now", nil, func(ctx context.Context, q readmodels.EDRQuery, visit func(readmodels.EDR) error) error {
			return readmodels.EachEDR(ctx, m.Conn, q, visit)
		}},
		{"as of nine tenths of the events", new(events / 10 * 9), past.EachEDR},
	} {
		q.AsOf = e.asOf
		n, began := 0, time.Now()
		if err := e.each(m.b.Context(), q, func(readmodels.EDR) error { n++; return nil }); err != nil {
			m.b.Fatal(err)
		}
		figures.add(format("export of %d attempts, %s", n, e.what), 0, format("%.4g rows/s", float64(n)/time.Since(began).Seconds()), "")
	}
}

// sizes tells what a row takes on the disk.
func (m *large) sizes() {
	const query = `SELECT splitByChar('_', table)[1] || if(endsWith(table, '_spans'), ' spans', '') AS what, sum(rows), sum(bytes_on_disk), count()
		FROM system.parts WHERE active AND database = currentDatabase() AND table NOT LIKE '%whole' GROUP BY what HAVING sum(rows) > 0 ORDER BY what`
	rows, err := m.Query(m.b.Context(), query)
	if err != nil {
		m.b.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		var n, bytes, parts uint64
		if err := rows.Scan(&what, &n, &bytes, &parts); err != nil {
			m.b.Fatal(err)
		}
		figures.add(format("a row of %s, of %d in %d parts", what, n, parts), 0, format("%.1f B", float64(bytes)/float64(n)), "")
	}
}
