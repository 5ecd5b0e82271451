package cmd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"recapito/readmodels"
)

type attemptsPage struct {
	Rows          []readmodels.EDR
	Next          string
	Notifications []readmodels.Notification
	Unattempted   []readmodels.Notification
	Events        []historyEntry
	State         *summary
}

func printAttempts(t terminal, raw json.RawMessage) error {
	var page attemptsPage
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	printRows(t, page)
	return nil
}

// printHistory prints a person's notifications without an attempt and a notification's
// events too, if the answer has them.
func printHistory(t terminal, raw json.RawMessage) error {
	var page attemptsPage
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("reading the response: %w", err)
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
	switch {
	case page.State != nil:
		_, _ = fmt.Fprintf(t.out, "\nstate %s\n", page.State.State)
	case len(page.Notifications) == 1: // as of a time
		_, _ = fmt.Fprintf(t.out, "\nstate %s\n", page.Notifications[0].State)
	}
	return nil
}

func printUnattempted(t terminal, all []readmodels.Notification) {
	if len(all) == 0 {
		return
	}
	_, _ = fmt.Fprintf(t.out, "\nwithout an attempt:\n")
	table := newReportTable("REQUESTED (UTC)", "NOTIFICATION", "SCENARIO", "STATE", "CODE")
	for _, n := range all {
		requested := ""
		if n.RequestedAt != nil {
			requested = n.RequestedAt.UTC().Format("2006-01-02 15:04:05")
		}
		table.row(requested, n.Notification, n.Scenario, n.State, n.Code)
	}
	table.least = []string{"SCENARIO", "CODE"}
	table.print(t)
}

func printRows(t terminal, page attemptsPage) {
	if len(page.Rows) == 0 {
		_, _ = fmt.Fprintln(t.out, "no attempts")
		return
	}
	table := newReportTable("DUE (UTC)", "NOTIFICATION", "TRY", "CHANNEL", "ROUTE", "SCENARIO", "STATUS", "CODE", "DELIVERY")
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
	table.numbers = []string{"TRY", "DELIVERY"}
	table.least = []string{"ROUTE", "SCENARIO", "DELIVERY", "CHANNEL", "CODE"}
	table.print(t)
	if page.Next != "" {
		_, _ = fmt.Fprintf(t.err, "more follow: a higher --limit prints them, --out writes all to a file\n")
	}
}

// nothingCounted is printed for sums without a line.
const nothingCounted = "nothing was counted in this period"

func printAccounting(t terminal, by []string, lines []readmodels.AccountingLine) {
	if len(lines) == 0 {
		_, _ = fmt.Fprintln(t.out, nothingCounted)
		return
	}
	heads := func(names []string) []string {
		all := slices.Clone(names)
		for i := range all {
			all[i] = strings.ToUpper(strings.ReplaceAll(all[i], "_", " "))
		}
		return all
	}
	sums := heads([]string{"messages", "units", "billable", "billable_units", "unpriced"})
	table := newReportTable(append(heads(by), sums...)...)
	table.numbers, table.least = sums, []string{"UNPRICED", "UNITS"}
	var sum readmodels.AccountingSums
	numbers := func(s readmodels.AccountingSums) []string {
		return counts(s.Messages, s.Units, s.Billable, s.BillableUnits, s.Unpriced)
	}
	for _, l := range lines {
		sum.Add(1, l.AccountingSums)
		table.row(append(cells(l.AccountingCell, by, l.DayText), numbers(l.AccountingSums)...)...)
	}
	if len(by) > 0 && len(lines) > 1 {
		table.row(slices.Concat([]string{"total"}, make([]string, len(by)-1), numbers(sum))...)
	}
	table.print(t)
}

// cells are the dimensions of a cell that are shown.
func cells[C any](cell C, by []string, day string) []string {
	columns, values := readmodels.ColumnsOf[C](), readmodels.ValuesOf(nil, cell)
	all := make([]string, 0, len(by))
	for _, name := range by {
		text := day
		for i, c := range columns {
			if c.Name == name && name != "day" {
				text = fmt.Sprint(values[i])
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
