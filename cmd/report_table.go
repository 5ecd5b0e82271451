package cmd

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// columnGap stands between two columns.
const columnGap = "  "

// reportTable is aligned columns, a dash for what is empty, numbers to the right.
type reportTable struct {
	head    []string
	rows    [][]string
	numbers []string // columns of numbers
	least   []string // columns to leave out where the terminal is too narrow, the first first
}

func newReportTable(head ...string) *reportTable { return &reportTable{head: head} }

func (t *reportTable) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

// print writes the table, as wide as the terminal; a pipe gets every column.
func (t *reportTable) print(to terminal) {
	text, without := t.within(terminalWidth(to.out))
	_, _ = fmt.Fprint(to.out, text)
	if len(without) > 0 {
		_, _ = fmt.Fprintf(to.err, "left out, as the terminal is narrow: %s\n", strings.ToLower(strings.Join(without, ", ")))
	}
}

// within returns the table without the columns that do not fit into a width, and which
// these are; 0 is no limit.
func (t *reportTable) within(width int) (text string, without []string) {
	widths := t.widths()
	for _, name := range t.least {
		if width == 0 || t.wide(widths, without) <= width {
			break
		}
		if slices.Contains(t.head, name) {
			without = append(without, name)
		}
	}
	var b strings.Builder
	for _, cells := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for i, c := range cells {
			if slices.Contains(without, t.head[i]) {
				continue
			}
			if line.Len() > 0 {
				line.WriteString(columnGap)
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if slices.Contains(t.numbers, t.head[i]) {
				line.WriteString(pad + c)
			} else {
				line.WriteString(c + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String(), without
}

// widths are those of the columns.
func (t *reportTable) widths() []int {
	widths := make([]int, len(t.head))
	for _, cells := range append([][]string{t.head}, t.rows...) {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	return widths
}

// wide is the width of a line without some columns.
func (t *reportTable) wide(widths []int, without []string) int {
	all := -len(columnGap)
	for i, w := range widths {
		if !slices.Contains(without, t.head[i]) {
			all += len(columnGap) + w
		}
	}
	return all
}
