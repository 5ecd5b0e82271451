// Package reconcile compares every number of every table of the read models with a fold of
// the event store, while the system runs.
package reconcile
