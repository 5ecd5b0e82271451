package readmodels

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// domainFill is what statements take of the domain's tables (domain_generated.go):
//
//	{rank_<status>}, {ladder_<status>}, {kind_<kind>}  numbers
//	{ranks}, {statuses}                                the statuses that an attempt can have, as two lists
//	{unfinished}                                       the ranks that keep a notification from being final
//	{ended}, {ends}                                    how a notification ended: a condition, and cases of multiIf
//	{measures}                                         the columns of a view of counts by time
func domainFill() []string {
	var ranks, names, unfinished, ends []string
	var fill []string
	add := func(name string, rank int) { fill = append(fill, "{"+name+"}", strconv.Itoa(rank)) }
	for rank, status := range Statuses {
		if status == "" {
			continue
		}
		add("rank_"+status, rank)
		ranks, names = append(ranks, strconv.Itoa(rank)), append(names, literal(status))
		if slices.Contains(unfinishedStatuses, status) {
			unfinished = append(unfinished, strconv.Itoa(rank))
		}
	}
	for i, status := range ladder {
		add("ladder_"+status, i+1)
	}
	for i, kind := range kinds {
		add("kind_"+kind, i+1)
	}
	for _, end := range endings {
		ends = append(ends, end+", "+literal(end))
	}
	array := func(of []string) string { return "[" + strings.Join(of, ", ") + "]" }
	return append(fill, "{ranks}", array(ranks), "{statuses}", array(names), "{unfinished}", array(unfinished),
		"{ended}", strings.Join(endings, " OR "), "{ends}", strings.Join(ends, ", "), "{measures}", measureColumns())
}

// LadderOf returns the place of a status on the ladder of what a step can want, from 1; 0 if
// it is not on it.
func LadderOf(status string) uint16 { return uint16(slices.Index(ladder, status) + 1) } //nolint:gosec // short lists

// KindOf returns the number of why an attempt exists, from 1; 0 if it is none.
func KindOf(kind string) uint16 { return uint16(slices.Index(kinds, kind) + 1) } //nolint:gosec // short lists

// measureColumns are the measures that have a column: attempts by the status they came to,
// what else happened to them, and notifications.
func measureColumns() string {
	var columns []string
	for _, measure := range slices.Concat(Statuses[1:], []string{"retried", "given_up"}, ofNotifications) {
		columns = append(columns, fmt.Sprintf("sumIf(n, measure = '%s') AS %s", measure, measure))
	}
	return strings.Join(columns, ",\n    ")
}
