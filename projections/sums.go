package projections

import "recapito/readmodels"

// sums are what the events of one batch add up to, by cell; cells keep the order in
// which they came, so that the same batch makes the same rows.
type sums[C comparable, S any] struct {
	where map[C]int
	cells []C
	sums  []S // of the cells
}

func newSums[C comparable, S any]() sums[C, S] { return sums[C, S]{where: map[C]int{}} }

// index returns the index of a cell's sum, which is zero if it is new.
func (s *sums[C, S]) index(cell C) int {
	i, ok := s.where[cell]
	if !ok {
		i = len(s.cells)
		s.where[cell] = i
		s.cells = append(s.cells, cell)
		s.sums = append(s.sums, *new(S))
	}
	return i
}

// at returns a cell's sum, to be changed before another cell is looked up.
func (s *sums[C, S]) at(cell C) *S { return &s.sums[s.index(cell)] }

// counted names a batch of events, which is not empty.
func counted(events []LedgerEvent) readmodels.Counted {
	return readmodels.Counted{
		FirstSeq: events[0].Seq, LastSeq: events[len(events)-1].Seq, FirstPosition: uint64(events[0].Position),
	}
}
