// Package delivery carries out what the process manager of domain/delivery decides: the
// runner brings it events and deadlines, the planner gathers what a plan is made of, the
// queue takes due attempts, and workers claim and send them.
//
// Promise: an attempt is on the wire at most once. Not promised: that it is once.
package delivery
