package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"recapito/readmodels"
)

type reportCmd struct {
	History    reportHistoryCmd    `cmd:"" help:"What was sent to a person, or of a notification, a campaign or a scenario."`
	EDR        reportEDRCmd        `cmd:"" name:"edr" help:"Event detail records: one row an attempt."`
	Accounting reportAccountingCmd `cmd:"" help:"Messages and units, billable ones among them."`
	Rollups    reportRollupsCmd    `cmd:"" help:"Counts by minute, hour or day."`
	Metrics    reportMetricsCmd    `cmd:"" help:"The catalogue of metrics, with the values of a period."`
}

// reportVars are the names that the help of reports lists.
func reportVars() kong.Vars {
	names := func(all []readmodels.Dimension) string {
		var texts []string
		for _, d := range all {
			texts = append(texts, d.Name)
		}
		return strings.Join(texts, ", ")
	}
	return kong.Vars{
		"edr_filters":           strings.Join(readmodels.EDRFilters(), ", "),
		"accounting_groups":     strings.Join(readmodels.AccountingGroups(), ", "),
		"accounting_dimensions": names(readmodels.AccountingDimensions()),
		"rollup_dimensions":     names(readmodels.RollupDimensions()),
	}
}

// reportFlags are those of every report.
type reportFlags struct {
	instanceFlag
	From  string `help:"From this time on: RFC 3339, a date (its beginning in UTC), or how long ago (24h)." placeholder:"TIME"`
	To    string `help:"Before this time." placeholder:"TIME"`
	AsOf  string `help:"What was known at this time: the same for ever. 0s: until now." placeholder:"TIME"`
	After string `help:"Wait until the report holds everything up to this position of a 202." placeholder:"POSITION"`
	JSON  bool   `help:"Print the report as JSON."`
	Out   string `help:"Write every row to a file .csv, .jsonl or .parquet, and its manifest next to it." placeholder:"FILE" type:"path"`
}

// asking is a report to ask for.
type asking struct {
	method, path string
	query        url.Values
	body         any
}

// moment reads a time as people give it; ago is whether it is relative to now.
func moment(flag, text string, now time.Time) (t time.Time, ago bool, err error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, false, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, false, nil
	}
	if before, err := time.ParseDuration(text); err == nil && before >= 0 {
		return now.Add(-before), true, nil
	}
	return time.Time{}, false, fmt.Errorf("--%s must be a time such as 2026-12-01T09:30:00Z, a date such as 2026-12-01, or how long ago such as 24h", flag)
}

// times reads the flags that are times; those not given are left out. What is counted by
// steps takes complete ones, so a period relative to now is widened to them.
func (f *reportFlags) times(now time.Time, step time.Duration) (map[string]string, error) {
	all := map[string]string{}
	for flag, text := range map[string]string{"from": f.From, "to": f.To, "as-of": f.AsOf} {
		if text == "" {
			continue
		}
		t, ago, err := moment(flag, text, now)
		if err != nil {
			return nil, err
		}
		if ago && flag != "as-of" && step > 0 {
			if t = t.Truncate(step); flag == "to" {
				t = t.Add(step)
			}
		}
		all[strings.ReplaceAll(flag, "-", "_")] = t.UTC().Format(time.RFC3339Nano)
	}
	return all, nil
}

// answer asks, and writes a file, or prints the JSON, or a table.
func (f *reportFlags) answer(ctx context.Context, t terminal, a asking, table func(raw json.RawMessage) error) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	if f.After != "" {
		a.query.Set("after", f.After)
	}
	if f.Out != "" {
		return c.download(ctx, t, a, f.Out)
	}
	path := a.path
	if len(a.query) > 0 {
		path += "?" + a.query.Encode()
	}
	var raw json.RawMessage
	if err := c.call(ctx, a.method, path, a.body, &raw); err != nil {
		return hinted(err)
	}
	if f.JSON {
		_, _ = fmt.Fprintln(t.out, string(raw))
		return nil
	}
	return table(raw)
}

// hinted adds what to do to errors that leave it open.
func hinted(err error) error {
	var p *problem
	if !errors.As(err, &p) {
		return err
	}
	switch p.Code {
	case "unavailable", "behind":
		return fmt.Errorf("%w\nClickHouse, or a table of it, is behind or does not respond: look at /readyz, or `recapito report … --as-of` an earlier time", err)
	case "several_persons":
		return fmt.Errorf("%w\nChoose one by --person", err)
	case "too_many_requests":
		return fmt.Errorf("%w\nTry again when other files are written", err)
	}
	return err
}

type reportEDRCmd struct {
	reportFlags
	Filter []string `short:"f" help:"Only rows of this; again for more. Columns: ${edr_filters}, test; changed_after; queue_ms, submit_ms and delivery_ms, each with _min or _max." placeholder:"COLUMN=VALUE" sep:"none"`
	Limit  int      `help:"Rows to print, at most 1000." default:"50"`
}

// Run prints attempts.
func (r reportEDRCmd) Run(ctx context.Context, t terminal) error {
	a, err := r.asks("/v1/edr", 0, r.Filter)
	if err != nil {
		return err
	}
	if r.Out == "" {
		a.query.Set("limit", strconv.Itoa(r.Limit))
	}
	return r.answer(ctx, t, a, func(raw json.RawMessage) error { return printAttempts(t, raw) })
}

// asks is a report by GET.
func (f *reportFlags) asks(path string, step time.Duration, filters []string) (asking, error) {
	a := asking{method: http.MethodGet, path: path, query: url.Values{}}
	times, err := f.times(time.Now(), step)
	if err != nil {
		return a, err
	}
	for name, text := range times {
		a.query.Set(name, text)
	}
	given, err := pairs("filter", "COLUMN=VALUE", filters)
	for _, p := range given {
		a.query.Set(p[0], p[1])
	}
	return a, err
}

type reportHistoryCmd struct {
	reportFlags
	Destination  string `help:"Of the person with this address: KIND=ADDRESS (a kind of address, phone or email, or a channel), or - to read it from the input." xor:"of" required:"" placeholder:"KIND=ADDRESS"`
	Person       string `help:"Which person, where the destination names several: one that was listed." placeholder:"ID"`
	Recipient    string `help:"Of the person with your id." xor:"of" required:"" placeholder:"ID"`
	Notification string `help:"Of one notification." xor:"of" required:"" placeholder:"ID"`
	Campaign     string `help:"Of a campaign." xor:"of" required:"" placeholder:"NAME"`
	Scenario     string `help:"Of a scenario." xor:"of" required:"" placeholder:"NAME"`
	Limit        int    `help:"Rows to print, at most 1000." default:"50"`
}

// Run prints a history.
func (r reportHistoryCmd) Run(ctx context.Context, t terminal) error {
	body := map[string]any{}
	for name, value := range map[string]string{
		"recipient": r.Recipient, "person": r.Person, "notification": r.Notification, "campaign": r.Campaign, "scenario": r.Scenario,
	} {
		if value != "" {
			body[name] = value
		}
	}
	if r.Destination != "" {
		destination, err := readDestination(t, r.Destination)
		if err != nil {
			return err
		}
		body["destination"] = destination
	}
	times, err := r.times(time.Now(), 0)
	if err != nil {
		return err
	}
	a := asking{method: http.MethodPost, path: "/v1/reports/history", query: url.Values{}, body: body}
	for name, text := range times {
		if name == "as_of" {
			a.query.Set(name, text)
		} else {
			body[name] = text
		}
	}
	if r.Out == "" {
		body["limit"] = r.Limit
	}
	return r.answer(ctx, t, a, func(raw json.RawMessage) error { return printHistory(t, raw) })
}

// readDestination takes KIND=ADDRESS from the flag or a line of the input. Errors
// never hold it.
func readDestination(t terminal, flag string) (map[string]string, error) {
	if flag == "-" {
		_, _ = fmt.Fprint(t.err, "kind=address: ")
		line, err := bufio.NewReader(t.in).ReadString('\n')
		if err != nil && line == "" {
			return nil, errors.New("no destination was read: give a line such as phone=+39…")
		}
		flag = strings.TrimSpace(line)
	}
	p, err := pairs("destination", "KIND=ADDRESS, such as phone=+39…", []string{flag})
	if err != nil {
		return nil, err
	}
	return map[string]string{"kind": p[0][0], "address": p[0][1]}, nil
}

type reportAccountingCmd struct {
	reportFlags
	Month   string   `help:"Of this month: yyyy-mm, of days in UTC." placeholder:"MONTH"`
	GroupBy string   `help:"What the rows are by: ${accounting_groups}." default:"channel,status"`
	Filter  []string `short:"f" help:"Only this; again for more: ${accounting_dimensions}, status." placeholder:"COLUMN=VALUE" sep:"none"`
}

// Run prints sums.
func (r reportAccountingCmd) Run(ctx context.Context, t terminal) error {
	a, err := r.asks("/v1/reports/accounting", 24*time.Hour, r.Filter)
	if err != nil {
		return err
	}
	a.query.Set("group_by", r.GroupBy)
	if r.Month != "" {
		a.query.Set("month", r.Month)
	}
	return r.answer(ctx, t, a, func(raw json.RawMessage) error {
		var report struct{ Rows []readmodels.AccountingLine }
		if err := json.Unmarshal(raw, &report); err != nil {
			return fmt.Errorf("reading the response: %w", err)
		}
		printAccounting(t, strings.Split(r.GroupBy, ","), report.Rows)
		return nil
	})
}

type reportRollupsCmd struct {
	reportFlags
	Grain   string   `help:"minute, hour or day." default:"hour" enum:"minute,hour,day"`
	Basis   string   `help:"event: by when it occurred; request: what has become of what was requested then (by hour or day)." default:"event" enum:"event,request"`
	Measure []string `help:"Only these, such as requested,sent,delivered,undelivered."`
	By      []string `help:"A line for each of these too: ${rollup_dimensions}, detail."`
	Filter  []string `short:"f" help:"Only this; again for more: ${rollup_dimensions}." placeholder:"COLUMN=VALUE" sep:"none"`
}

// grains are how far a picture of each grain goes back if no time is given.
var grains = map[string]struct{ step, back time.Duration }{
	"minute": {time.Minute, time.Hour}, "hour": {time.Hour, 24 * time.Hour}, "day": {24 * time.Hour, 31 * 24 * time.Hour},
}

// Run prints counts, each a line with its trend.
func (r reportRollupsCmd) Run(ctx context.Context, t terminal) error {
	if r.From == "" {
		r.From = grains[r.Grain].back.String()
	}
	step := grains[r.Grain].step
	a, err := r.asks("/v1/reports/rollups", step, r.Filter)
	if err != nil {
		return err
	}
	a.query.Set("grain", r.Grain)
	a.query.Set("basis", r.Basis)
	a.query.Set("group_by", strings.Join(append([]string{"start", "measure"}, r.By...), ","))
	if len(r.Measure) > 0 {
		a.query.Set("measure", strings.Join(r.Measure, ","))
	}
	return r.answer(ctx, t, a, func(raw json.RawMessage) error {
		var report struct{ Rows []readmodels.RollupLine }
		if err := json.Unmarshal(raw, &report); err != nil {
			return fmt.Errorf("reading the response: %w", err)
		}
		from, err := time.Parse(time.RFC3339Nano, a.query.Get("from"))
		to := time.Now()
		if text := a.query.Get("to"); err == nil && text != "" {
			to, err = time.Parse(time.RFC3339Nano, text)
		}
		if err != nil {
			return err // the server took them
		}
		rows := slices.DeleteFunc(report.Rows, func(l readmodels.RollupLine) bool {
			return slices.Contains([]string{"queue", "accept", "delivery", "reading"}, l.Measure) && len(r.Measure) == 0
		})
		printTrends(t, r.By, rows, from.Truncate(step), to, step)
		return nil
	})
}
