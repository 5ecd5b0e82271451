// Package marks returns what was known as of a time. A Timeline appends marks, pairs of a
// time and the number of ledger events before it, and resolves an as-of time to a cut in
// the order of all ledger events, always the same. Past and Counts read the tables as they
// were at a cut.
package marks
