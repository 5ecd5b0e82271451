// Package bench measures the read models; make bench-readmodels runs it. It holds only
// benchmarks, and a table of their figures, the ratio first, is printed at the end.
//
// The load is histories of notifications (projections/histories) in the real event store,
// and the engine is the real one in its child process with the memory that it has by
// default. Each figure that is a ratio is of one run: what is compared is measured one
// right after the other, since the machine's own speed changes by the minute.
package bench
