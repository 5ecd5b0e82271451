// Package retry is the one way in which this program tries again what failed, and waits.
// The back-off and the loop are those of github.com/cenkalti/backoff/v5; this package
// fixes what every caller wants alike: jitter, waits that end with a context, and a log
// that stays quiet while a failure lasts. See docs/adr/0016-one-retry.md.
//
//   - Policy.Do tries an operation until it succeeds.
//   - Policy.Keep runs a session (a subscription, a connection) again whenever it ends.
//   - Policy.Waits and Policy.After return the next wait to a caller that has its own timer.
//   - Wait waits.
//   - Permanent marks an error that another try cannot mend.
//
// What it promises: a wait is random, between half and one and a half times its nominal
// length, which doubles up to a maximum; nothing is tried or waited for after the context
// has ended; an operation is run at least once. A Log writes one line for the first
// failure, at most one a minute while it lasts, and one when it is over.
//
// What it does not promise: that an operation is safe to repeat. The caller decides that.
//
// It imports nothing of ours, so every package but the domain may import it.
package retry
