// Package receipts takes what providers report: the receiver makes it durable, and the
// matcher joins to an attempt what no provider id joins.
//
// Promise: a receipt that was acknowledged to its provider is kept.
package receipts
