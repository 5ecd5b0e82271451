// Package commands is the shell round the domain: the ledger (store, codec, sealer and
// clock) and the handler, which loads a stream, decides and appends. What passes through
// it has rooms of its own: intake (a request from any listener), delivery (process
// manager, queue, worker), receipts (receiver, matcher) and channel (the port of the
// channels). The acceptance suites of these interfaces have folders next to them.
package commands
