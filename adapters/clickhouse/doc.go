// Package clickhouse is the read models' database: the real ClickHouse engine
// (libchdb) embedded in a supervised child process behind ClickHouse's HTTP
// interface on a loopback address, and the client that talks to it or to any
// outside ClickHouse.
//
// What runs where:
//
//   - The child ([RunServer], the verb "recapito clickhouse") loads the library
//     and owns the data folder. An engine that crashes takes only the child
//     down, never the ledger.
//   - The parent ([Start]) supervises it: keeps its address over restarts,
//     holds its stdin open, and reports its state for readiness.
//   - Everything else uses [Open], clickhouse-go over HTTP, and does not know
//     whether ClickHouse is embedded or outside.
//
// What it promises:
//
//   - An insert that succeeded is on disk: parts are written
//     with fsync_after_insert and fsync_part_directory, so a kill -9 of any
//     process loses nothing, and neither does a power loss on a disk that
//     honours fsync. Should the folder be lost or damaged all the same, it is
//     deleted and rebuilt from the event store.
//   - Nothing of one request's session (USE, SET, temporary tables,
//     parameters) is seen by another: every request has an engine connection
//     of its own, which is closed with it.
//   - A client cannot read or write files or reach other hosts through the
//     engine: several statements in one query, INTO OUTFILE and FROM INFILE are
//     refused, and the engine's user holds no grant on any source. A browser's
//     cross-site requests are refused.
//   - Only the writer, whose password Start makes, changes anything. A reader
//     sees the rows of its tenant, in tables and in views over them, and
//     nothing of others, not in errors, counters or the engine's own tables
//     either. (Rows must carry their tenant in a column tenant, within the
//     sorting key where rows are merged.) A server that was given no writer's
//     password, as one started by hand, asks for none.
//   - A child of an instance ends when its stdin closes, so it never outlives
//     its parent; one that is a process of its own, when it is asked to.
//     A successor that finds the folder still locked waits up to ten seconds.
//
// What it does not promise: external tables, and statements that set up a
// session for later requests (session_id), are refused, saying so; a reader's query takes a time that may depend on how
// much others have; INSERT … SELECT FROM input() and progress headers are not there.
package clickhouse
