// Package delivery carries out what the process manager of domain/delivery decides: the
// runner brings it events and deadlines, the queue takes due attempts, offers spare them the
// wait for it, and workers claim and send them.
//
// Promise: an attempt is on the wire at most once. Not promised: that it is once.
package delivery
