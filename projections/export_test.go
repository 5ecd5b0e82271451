package projections

// LimitBatches makes batches small: what is tested is what happens between them.
func LimitBatches(p *Projections, events int) {
	for _, k := range p.keepers {
		k.batchLimit = events
	}
}

// NameTables makes tables' names from a test's own ids.
func NameTables(p *Projections, id func() string) {
	for _, k := range p.keepers {
		k.newID = id
	}
}

// Rows makes the rows of both projections from a ledger event.
var (
	EventRowOf = eventRow
	EDRPartOf  = edrPart
)
