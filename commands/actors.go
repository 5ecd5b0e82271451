package commands

import "strings"

// Actors of what the ledger does by itself.
const (
	ActorDelivery = "system:delivery"
	ActorDispatch = "system:dispatch"
	ActorMatcher  = "system:matcher"
	ActorProvider = "provider:" // and the route
)

// TokenForm is the form of a destination that tokens are made of: providers give
// numbers back without the plus.
func TokenForm(destination string) string { return strings.TrimPrefix(destination, "+") }
