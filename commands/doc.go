// Package commands is the shell round the domain: it loads a stream, decides,
// appends; runs the process manager, the deadlines and the dispatch workers; and
// declares, next to their use, the interfaces that adapters implement (Store,
// Channel, KeyStore, Scenarios).
//
// May import: domain, watermill's message types, libraries without I/O of their own.
package commands
