package receipts

// Open returns how much a matcher holds.
func (m *Matcher) Open() (attempts, receipts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.index.attempts), len(m.index.held)
}

// SetLimit bounds how many attempts a matcher knows.
func (m *Matcher) SetLimit(n int) { m.index.limit = n }
