package channel

import (
	"time"

	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// Configured is an open route with what the ledger must know of it.
type Configured struct {
	Name   string
	Kind   Kind
	Form   receipt.Form // how its provider writes message ids
	Policy notification.Policy
	// ReceiptWindow is how long after its acceptance a receipt may be about a submission;
	// 0 = receipt.Window, which is the most.
	ReceiptWindow time.Duration
	Wire          Channel
}

// Window is how long after its acceptance a receipt may be about a submission.
func (c Configured) Window() time.Duration {
	if c.ReceiptWindow > 0 {
		return c.ReceiptWindow
	}
	return receipt.Window
}

// Early is how long before its acceptance is known a receipt may be about a submission:
// as long as the answer may take.
func (c Configured) Early() time.Duration { return time.Duration(c.Policy.WireLimit) / 2 }

// Routes lists the configured routes; the first of a channel is taken.
type Routes []Configured

// For returns the route of a channel.
func (rs Routes) For(channel string) (Configured, bool) {
	for _, r := range rs {
		if r.Kind.Name == channel {
			return r, true
		}
	}
	return Configured{}, false
}

// Named returns a route by its name.
func (rs Routes) Named(name string) (Configured, bool) {
	for _, r := range rs {
		if r.Name == name {
			return r, true
		}
	}
	return Configured{}, false
}

// DefaultPolicy is what a route's attempts are held to where its settings are silent.
func DefaultPolicy() notification.Policy {
	const d = time.Second
	return notification.Policy{
		Tries: 3, BackOff: notification.Duration(5 * d), BackOffMax: notification.Duration(10 * 60 * d),
		WireLimit: notification.Duration(30 * d), Redispatch: notification.Duration(30 * d),
		Patience: notification.Duration(3600 * d),
		Unknown:  notification.UnknownWait, UnknownLimit: notification.Duration(3600 * d), Resends: 1,
	}
}
