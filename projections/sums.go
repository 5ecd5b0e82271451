package projections

import "recapito/readmodels"

// sums are what the events of one batch add up to, by cell; cells keep the order in
// which they came, so that the same batch makes the same rows.
type sums[C comparable, S any] struct {
	of    map[C]*S
	cells []C
}

func newSums[C comparable, S any]() *sums[C, S] { return &sums[C, S]{of: map[C]*S{}} }

func (s *sums[C, S]) at(cell C) *S {
	sum := s.of[cell]
	if sum == nil {
		sum = new(S)
		s.of[cell] = sum
		s.cells = append(s.cells, cell)
	}
	return sum
}

// counted names a batch of events, which is not empty.
func counted(events []LedgerEvent) readmodels.Counted {
	return readmodels.Counted{
		FirstSeq: events[0].Seq, LastSeq: events[len(events)-1].Seq, FirstPosition: uint64(events[0].Position),
	}
}
