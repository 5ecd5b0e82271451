package readmodels_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

const grafana = "../deploy/grafana/"

// dashboard is what is looked at of Grafana's own form of it.
type dashboard struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct{ List []variable }
}

type panel struct {
	ID         int
	Type       string
	Title      string
	Datasource source
	Targets    []struct {
		Datasource source
		RawSQL     string `json:"rawSql"`
		Format     int
		QueryType  string
	}
}

type source struct{ Type, UID string }

type variable struct {
	Type, Name, Query string
	Datasource        source
	Multi, IncludeAll bool
	Options           []struct{ Value string }
}

var ours = source{"grafana-clickhouse-datasource", "recapito"}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	files, err := filepath.Glob(grafana + "dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards: %v", len(files), err)
	}
	all := map[string]dashboard{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = d
	}
	return all
}

// Every query of every panel and variable of every dashboard runs as a tenant's reader,
// over everything and over what its variables offer, by minute, hour and day, and finds
// rows in a day's histories.
func TestGrafanaDashboards(t *testing.T) {
	conn := bi(t)
	uids := map[string]bool{}
	for file, d := range dashboards(t) {
		if d.UID == "" || d.Title == "" || uids[d.UID] || len(d.Panels) == 0 {
			t.Errorf("%s: uid %q, title %q, %d panels", file, d.UID, d.Title, len(d.Panels))
		}
		uids[d.UID] = true
		chosen, intervals := map[string]string{}, []string{""}
		for _, v := range d.Templating.List {
			if v.Type == "custom" {
				intervals = nil
				for _, o := range v.Options {
					intervals = append(intervals, o.Value)
				}
				continue
			}
			if v.Datasource != ours || !v.Multi || !v.IncludeAll {
				t.Errorf("%s: variable %s is not as the others", file, v.Name)
			}
			rows, err := firstColumn(t, conn, v.Query)
			if err != nil {
				t.Errorf("%s: variable %s: %v", file, v.Name, err)
			}
			chosen[v.Name] = allValues
			if len(rows) > 0 {
				chosen[v.Name] = rows[len(rows)-1]
			} else {
				t.Errorf("%s: variable %s offers nothing", file, v.Name)
			}
		}
		ids := map[int]bool{}
		for nth, p := range d.Panels {
			if ids[p.ID] || p.Title == "" || p.Datasource != ours || len(p.Targets) == 0 {
				t.Errorf("%s: panel %d %q has no id, title, data source or query of its own", file, p.ID, p.Title)
			}
			ids[p.ID] = true
			for _, q := range p.Targets {
				series := p.Type == "timeseries"
				if q.Datasource != ours || series != (q.QueryType == "timeseries" && q.Format == 0) || !series && (q.QueryType != "table" || q.Format != 1) {
					t.Errorf("%s: panel %q: a query of type %q, format %d", file, p.Title, q.QueryType, q.Format)
				}
				for n, interval := range intervals {
					if n > 0 && n != 1+nth%(len(intervals)-1) && os.Getenv("RECAPITO_TEST_FULL") == "" {
						continue // the short form asks each panel for two of the intervals
					}
					runPanel(t, conn, fmt.Sprintf("%s: panel %q", file, p.Title), q.RawSQL, interval, chosen, n == 0)
				}
			}
		}
	}
}

func runPanel(t *testing.T, conn driver.Conn, what, sql, interval string, chosen map[string]string, alsoChosen bool) {
	t.Helper()
	for _, all := range []bool{true, false} {
		if !all && !alsoChosen {
			continue
		}
		values := map[string]string{"interval": interval}
		for name, value := range chosen {
			if values[name] = value; all {
				values[name] = allValues
			}
		}
		expanded, err := expand(sql, values)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		rows, err := rowsOf(t, conn, expanded)
		if err != nil {
			t.Errorf("%s: %v\n%s", what, err, expanded)
			return
		}
		if all && rows == 0 {
			t.Errorf("%s by %q finds nothing:\n%s", what, interval, expanded)
		}
	}
}

func rowsOf(t *testing.T, conn driver.Conn, sql string, values ...any) (n int, err error) {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, values...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func firstColumn(t *testing.T, conn driver.Conn, sql string) (values []string, err error) {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

// allValues is what Grafana holds for a variable of which all is chosen.
const allValues = "$__all"

var (
	conditional = regexp.MustCompile(`\$__conditionalAll\((.*?), \$(\w+)\)`)
	quoted      = regexp.MustCompile(`\$\{(\w+):singlequote\}`)
	plain       = regexp.MustCompile(`\$\{(\w+)\}`)
	call        = regexp.MustCompile(`\$__(\w+)\(([^()]*)\)`)
)

// expand makes of a query what the plugin (4.x) sends: first in the browser what depends
// on variables, then on the server what depends on the time shown.
func expand(sql string, values map[string]string) (string, error) {
	sql = conditional.ReplaceAllStringFunc(sql, func(s string) string {
		m := conditional.FindStringSubmatch(s)
		if values[m[2]] == allValues {
			return "1=1"
		}
		return m[1]
	})
	sql = quoted.ReplaceAllStringFunc(sql, func(s string) string {
		return "'" + strings.ReplaceAll(values[quoted.FindStringSubmatch(s)[1]], "'", `\'`) + "'"
	})
	sql = plain.ReplaceAllStringFunc(sql, func(s string) string { return values[plain.FindStringSubmatch(s)[1]] })
	from, to := biFrom.Truncate(24*time.Hour), biFrom.Add(48*time.Hour)
	second, day := func(at time.Time) string { return fmt.Sprintf("toDateTime(%d)", at.Unix()) }, func(at time.Time) string {
		return "toDate('" + at.Format(time.DateOnly) + "')"
	}
	between := func(column string, of func(time.Time) string) string {
		return column + " >= " + of(from) + " AND " + column + " <= " + of(to)
	}
	const step = 1800 // seconds: the time shown by the width of a panel
	sql = call.ReplaceAllStringFunc(sql, func(s string) string {
		switch m := call.FindStringSubmatch(s); m[1] {
		case "timeFilter":
			return between(m[2], second)
		case "dateFilter":
			return between(m[2], day)
		case "timeInterval":
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", m[2], step)
		}
		return s
	})
	sql = strings.NewReplacer("$__fromTime", second(from), "$__toTime", second(to), "$__interval_s", fmt.Sprint(step)).Replace(sql)
	if i := strings.IndexByte(sql, '$'); i >= 0 {
		return "", fmt.Errorf("nothing expands %.30s", sql[i:])
	}
	return sql, nil
}

// The provisioned data source and folder are those that the dashboards name.
func TestGrafanaProvisioning(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(grafana + "provisioning/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, line := range []string{"type: " + ours.Type, "uid: " + ours.UID, "protocol: http", "port: 8123", "defaultDatabase: recapito"} {
		if !slices.ContainsFunc(strings.Split(read("datasources/recapito.yaml"), "\n"), func(l string) bool { return strings.TrimSpace(l) == line }) {
			t.Errorf("the data source does not say %q", line)
		}
	}
	if !strings.Contains(read("dashboards/recapito.yaml"), "path: /var/lib/grafana/dashboards/recapito") {
		t.Error("the dashboards are not where compose.yaml mounts them")
	}
}
