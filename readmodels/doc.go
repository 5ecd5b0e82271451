// Package readmodels is the ClickHouse side of the read models: the schema with its
// migrations, the rows that projections write and the queries that the API asks.
//
// Two kinds of tables. What belongs to the database itself (its generation id) is made
// by numbered migrations (Migrate). A table of a projection is made under a name of its
// own each time the projection is built, and the view named like the projection shows
// the complete one (Table.Show): so a rebuild fills another table, which is swapped in at
// once. Its schema never changes under a version; a changed one is a new version,
// which projections rebuild by themselves.
//
// Promises: every table is right if every batch is written twice, at any time; every
// query binds its tenant and bounds its days. No names of databases: what the
// connection is opened on is used.
package readmodels
