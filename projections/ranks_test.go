package projections_test

import (
	"slices"
	"testing"

	"recapito/domain/notification"
	"recapito/readmodels"
)

// SQL ranks statuses as the domain does.
func TestRanksAreTheDomains(t *testing.T) {
	var want []string
	for rank, s := range notification.Statuses() {
		if s.Rank() != rank {
			t.Errorf("%q has rank %d and stands at %d", s, s.Rank(), rank)
		}
		want = append(want, string(s))
	}
	if !slices.Equal(readmodels.Statuses, want) {
		t.Errorf("SQL ranks %v, the domain %v", readmodels.Statuses, want)
	}
}
