package event

import (
	"slices"
	"strings"
)

// Passes reports whether an event of this stream and type passes the filter.
func (f Filter) Passes(stream, typ string) bool {
	return (len(f.StreamPrefixes) == 0 || slices.ContainsFunc(f.StreamPrefixes, func(p string) bool { return strings.HasPrefix(stream, p) })) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, typ))
}

// IsEmpty reports whether everything passes.
func (f Filter) IsEmpty() bool { return len(f.StreamPrefixes) == 0 && len(f.Types) == 0 }
