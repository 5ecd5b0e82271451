package eventstore

import "time"

// Hurry makes a feed's waits short.
func (f *Feed) Hurry(pause, replay time.Duration) { f.pause, f.replay = pause, replay }
