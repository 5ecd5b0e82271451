package follow

// NameTables makes tables' names from a test's own ids.
func NameTables(p *Projector, id func() string) {
	for _, f := range p.followers {
		f.newID = id
	}
}
