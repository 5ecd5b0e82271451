package readmodels

import (
	"slices"
	"strconv"
	"strings"
)

// Statuses are those of an attempt, by rank: the domain's table (notification.Statuses),
// from which the projections' tests see that this one does not differ. Every rank in SQL
// comes from here.
var Statuses = []string{
	"", "scheduled", "dispatched", "outcome_unknown", "sent", "undelivered", "delivered", "read", "withdrawn",
}

// rankFill are the ranks as statements name them: {rank_<status>}, and the statuses that
// an attempt can have, as two lists {ranks} and {statuses}.
func rankFill() []string {
	var fill, ranks, names []string
	for rank, status := range Statuses {
		if status == "" {
			continue
		}
		fill = append(fill, "{rank_"+status+"}", strconv.Itoa(rank))
		ranks, names = append(ranks, strconv.Itoa(rank)), append(names, literal(status))
	}
	return slices.Concat(fill, []string{"{ranks}", "[" + strings.Join(ranks, ", ") + "]", "{statuses}", "[" + strings.Join(names, ", ") + "]"})
}
