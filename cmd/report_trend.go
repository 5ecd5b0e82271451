package cmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"recapito/readmodels"
)

// How many columns a trend has; of a longer one several steps make a column.
const (
	maxTrend = 60
	minTrend = 12 // where the terminal is too narrow
)

// trend is a measure over time.
type trend struct {
	cells []string
	total int64
	at    []int64 // by step
}

// printTrends prints a line each for a measure and what it is by: total, highest column,
// and the trend.
func printTrends(t terminal, by []string, rows []readmodels.RollupLine, from, to time.Time, step time.Duration) {
	all := trendsOf(by, rows, from, step, int((to.Sub(from)+step-1)/step))
	if len(all) == 0 {
		_, _ = fmt.Fprintln(t.out, nothingCounted)
		return
	}
	head := []string{"MEASURE"}
	for _, name := range by {
		head = append(head, strings.ToUpper(name))
	}
	table := newReportTable(append(head, "TOTAL", "HIGHEST", "TREND")...)
	table.numbers = []string{"TOTAL", "HIGHEST"}
	// How long the trend may be depends on the columns before it.
	before := newReportTable(table.head...)
	for _, c := range all {
		before.row(append(slices.Clone(c.cells), append(counts(c.total, slices.Max(c.at)), "")...)...)
	}
	wide := maxTrend
	if width := terminalWidth(t.out); width > 0 {
		widths := before.widths()
		wide = min(max(width-before.wide(widths[:len(widths)-1], nil)-len(columnGap), minTrend), maxTrend)
	}
	each := (len(all[0].at) + wide - 1) / wide
	for _, c := range all {
		at := c.columns(each)
		table.row(append(slices.Clone(c.cells), append(counts(c.total, slices.Max(at)), sparkline(at))...)...)
	}
	const style = "2006-01-02 15:04"
	_, _ = fmt.Fprintf(t.out, "from %s to %s UTC, a column is %s\n", from.UTC().Format(style), to.UTC().Format(style), spell(time.Duration(each)*step))
	table.print(t)
}

// trendsOf puts rows into their trends of so many steps, in the order of what they are by.
func trendsOf(by []string, rows []readmodels.RollupLine, from time.Time, step time.Duration, steps int) []*trend {
	var all []*trend
	known := map[string]*trend{}
	for _, r := range rows {
		cell := append([]string{r.Measure}, cells(r.RollupCell, by, "")...)
		key := strings.Join(cell, "\x00")
		c := known[key]
		if c == nil {
			c = &trend{cells: cell, at: make([]int64, max(steps, 1))}
			known[key], all = c, append(all, c)
		}
		c.total += r.N
		if i := int(r.Start.Sub(from) / step); i >= 0 && i < len(c.at) {
			c.at[i] += r.N
		}
	}
	slices.SortStableFunc(all, func(a, b *trend) int { return slices.Compare(a.cells, b.cells) })
	return all
}

// columns adds up so many steps to a column.
func (c *trend) columns(each int) []int64 {
	at := make([]int64, (len(c.at)+each-1)/each)
	for i, n := range c.at {
		at[i/each] += n
	}
	return at
}

// spell writes a time of complete minutes, hours or days.
func spell(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		is   time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if d%unit.is == 0 {
			if n := d / unit.is; n != 1 {
				return fmt.Sprintf("%d %ss", n, unit.name)
			}
			return "1 " + unit.name
		}
	}
	return d.String()
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
