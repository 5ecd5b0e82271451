//go:build !race

package projectionstest

// RaceEnabled: the race detector is on, which makes tests many times slower.
const RaceEnabled = false
