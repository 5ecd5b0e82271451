package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"recapito/readmodels"
)

// reportTable prints aligned columns, a dash for what is empty.
type reportTable struct{ *tabwriter.Writer }

func newReportTable(out io.Writer, head ...string) reportTable {
	t := reportTable{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t reportTable) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
}

type attemptsPage struct {
	Rows        []readmodels.EDR
	Next        string
	Unattempted []readmodels.Notification
	Events      []historyEntry
	State       *summary
}

func printAttempts(t terminal, raw json.RawMessage) error {
	var page attemptsPage
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	printRows(t, page)
	return nil
}

// printHistory prints a person's notifications without an attempt and a notification's
// events too, if the answer has them.
func printHistory(t terminal, raw json.RawMessage) error {
	var page attemptsPage
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	printRows(t, page)
	printUnattempted(t, page.Unattempted)
	if len(page.Events) == 0 {
		return nil
	}
	_, _ = fmt.Fprintln(t.out)
	line := newTimeline(t.out)
	line.head()
	for _, e := range page.Events {
		line.row(e)
	}
	if page.State != nil {
		_, _ = fmt.Fprintf(t.out, "\nstate %s\n", page.State.State)
	}
	return nil
}

func printUnattempted(t terminal, all []readmodels.Notification) {
	if len(all) == 0 {
		return
	}
	_, _ = fmt.Fprintf(t.out, "\nwithout an attempt:\n")
	table := newReportTable(t.out, "REQUESTED (UTC)", "NOTIFICATION", "SCENARIO", "STATE", "CODE")
	for _, n := range all {
		requested := ""
		if n.RequestedAt != nil {
			requested = n.RequestedAt.UTC().Format("2006-01-02 15:04:05")
		}
		table.row(requested, n.Notification, n.Scenario, n.State, n.Code)
	}
	_ = table.Flush()
}

func printRows(t terminal, page attemptsPage) {
	if len(page.Rows) == 0 {
		_, _ = fmt.Fprintln(t.out, "no attempts")
		return
	}
	table := newReportTable(t.out, "DUE (UTC)", "NOTIFICATION", "TRY", "CHANNEL", "ROUTE", "SCENARIO", "STATUS", "CODE", "DELIVERY")
	for _, r := range page.Rows {
		due, took := "", ""
		if r.DueAt != nil {
			due = r.DueAt.UTC().Format("2006-01-02 15:04:05")
		}
		if r.DeliveryMs != nil {
			took = (time.Duration(*r.DeliveryMs) * time.Millisecond).String()
		}
		table.row(due, r.Notification, fmt.Sprint(r.Attempt), r.Channel, r.Route, r.Scenario, r.Status, r.Code, took)
	}
	_ = table.Flush()
	if page.Next != "" {
		_, _ = fmt.Fprintf(t.err, "more follow: a higher --limit prints them, --out writes all to a file\n")
	}
}

func printAccounting(t terminal, by []string, lines []readmodels.AccountingLine) error {
	head := append(slices.Clone(by), "messages", "parts", "billable", "billable_parts", "unpriced")
	for i := range head {
		head[i] = strings.ToUpper(strings.ReplaceAll(head[i], "_", " "))
	}
	table := newReportTable(t.out, head...)
	var sum readmodels.AccountingSums
	numbers := func(s readmodels.AccountingSums) []string {
		return counts(s.Messages, s.Parts, s.Billable, s.BillableParts, s.Unpriced)
	}
	for _, l := range lines {
		sum.Add(1, l.AccountingSums)
		table.row(append(cells(l.AccountingCell, by, l.DayText), numbers(l.AccountingSums)...)...)
	}
	if len(by) > 0 {
		table.row(slices.Concat([]string{"total"}, make([]string, len(by)-1), numbers(sum))...)
	}
	return table.Flush()
}

// cells are the dimensions of a cell that are shown.
func cells(cell any, by []string, day string) []string {
	v := reflect.ValueOf(cell)
	all := make([]string, 0, len(by))
	for _, name := range by {
		text := day
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("ch") == name && name != "day" {
				text = fmt.Sprint(v.Field(i).Interface())
			}
		}
		all = append(all, text)
	}
	return all
}

func counts(all ...int64) []string {
	texts := make([]string, len(all))
	for i, n := range all {
		if texts[i] = thousands(uint64(max(n, -n))); n < 0 { //nolint:gosec // not negative
			texts[i] = "-" + texts[i]
		}
	}
	return texts
}

// maxCourse is how many columns a course has at most; of a longer one several steps make
// a column.
const maxCourse = 60

// printCourses prints a line each for a measure and what it is by: total, highest step,
// and the course.
func printCourses(t terminal, by []string, rows []readmodels.RollupLine, from, to time.Time, step time.Duration) error {
	steps := int(to.Sub(from)/step) + 1
	each := (steps + maxCourse - 1) / maxCourse // steps in a column
	type course struct {
		cells []string
		total int64
		at    []int64
	}
	var all []*course
	known := map[string]*course{}
	for _, r := range rows {
		cell := append([]string{r.Measure}, cells(r.RollupCell, by, "")...)
		key := strings.Join(cell, "\x00")
		c := known[key]
		if c == nil {
			c = &course{cells: cell, at: make([]int64, (steps+each-1)/each)}
			known[key], all = c, append(all, c)
		}
		c.total += r.N
		if i := int(r.Start.Sub(from)/step) / each; i >= 0 && i < len(c.at) {
			c.at[i] += r.N
		}
	}
	if len(all) == 0 {
		_, _ = fmt.Fprintln(t.out, "nothing was counted in this period")
		return nil
	}
	slices.SortStableFunc(all, func(a, b *course) int { return slices.Compare(a.cells, b.cells) })
	head := []string{"MEASURE"}
	for _, name := range by {
		head = append(head, strings.ToUpper(name))
	}
	_, _ = fmt.Fprintf(t.out, "from %s, %s a column\n", from.UTC().Format("2006-01-02 15:04 UTC"), time.Duration(each)*step)
	table := newReportTable(t.out, append(head, "TOTAL", "HIGHEST", "COURSE")...)
	for _, c := range all {
		table.row(append(append(slices.Clone(c.cells), counts(c.total, slices.Max(c.at))...), sparkline(c.at))...)
	}
	return table.Flush()
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline is a column a number, from a blank for none to a full one for the highest.
func sparkline(at []int64) string {
	highest := max(slices.Max(at), 1)
	var b strings.Builder
	for _, n := range at {
		if n <= 0 {
			b.WriteRune(' ')
			continue
		}
		b.WriteRune(sparks[int((n*int64(len(sparks))-1)/highest)])
	}
	return b.String()
}
