// Package notification is the aggregate at the heart of the ledger: one message to
// one person, from its request to its final state, as events.
//
// The files: plan.go (what is to be tried), status.go and lifecycle.go (what an attempt and a
// notification can be), events.go and reasons.go (the storage format), commands.go, attempt.go,
// state.go and evolve.go (the fold), decide*.go (the rules of docs/architecture.md "Delivery,
// exactly"). All is pure: time comes in the command.
package notification

import "recapito/domain/event"

// StreamPrefix is the category of notification streams.
const StreamPrefix = "notification-"

// Stream names the stream of a notification.
func Stream(id string) string { return StreamPrefix + id }

// namespace of ids derived from an idempotency key. Never change it: the same key
// must give the same id for ever.
const namespace = "6f1a8f0e-3a52-5d0b-9c0e-7b6f5f2d9a41"

// IDFor derives the id of the notification that a tenant's idempotency key names.
func IDFor(tenant, idempotencyKey string) string {
	return event.UUIDv5(namespace, tenant+"\n"+idempotencyKey)
}
