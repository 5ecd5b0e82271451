// Package postgres is commands.KeyStore on PostgreSQL (12 or newer), for several
// instances on one set of keys. It holds wrapped keys, keyed hashes and nothing else, in
// a schema of its own, recapito_keys, which Open makes and brings up to date.
//
// Promises, besides those of commands.KeyStore:
//   - What a call that returned nil wrote is durable at the server: a session whose
//     default is to commit asynchronously is set to wait, and a server that runs without
//     fsync is refused. PostgreSQL shows a commit to no one before it is durable.
//   - Of any number of stores on one database, in this process or others, claims that
//     share a hash are decided one after the other, by locks that a transaction takes in
//     one order; the tables' own constraints would refuse what slipped through.
//   - A call ends within its context and within ten seconds. A database that does not
//     result is commands.ErrKeysUnavailable: never "erased", never "absent". Every call
//     can be repeated without another effect, so a lost connection is tried again.
//   - No error and no log line holds the connection string or its password.
//
// Not promised: that an erased key's bytes are gone from the server's files, its log and
// its replicas.
package postgres
