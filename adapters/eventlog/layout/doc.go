// Package layout is the event log's format: keys, records, heads, links, metadata, and
// their checksums. It encodes, decodes and looks single things up, and decides nothing.
//
// Every event is one record under its position; an index leads from stream and revision
// to the position; a head for each stream holds its next revision and its limits; links
// lead from a category or a type to positions. Every value ends with a checksum over its
// key and content, so that what is not as it was written is an error (guard.ErrCorrupt)
// and is neither skipped nor served.
package layout
