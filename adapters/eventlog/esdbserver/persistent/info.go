package persistent

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Info is how a group stands.
type Info struct {
	Settings   Settings
	StartFrom  string
	Status     string
	Checkpoint string // empty: none
	LastKnown  string // empty: none
	Consumers  []ConsumerInfo

	// Total counts messages sent, Since those since the last Info, PerSecond their rate.
	Total, Since int64
	PerSecond    int

	Read, Live, Retry, InFlight, Outstanding int
	Parked                                   int64
}

// ConsumerInfo is how a consumer stands.
type ConsumerInfo struct {
	Connection
	Free, InFlight int
	Total, Since   int64
	PerSecond      int
	Measured       []Measurement // milliseconds until acknowledged, if asked for
}

// Measurement is one of a consumer's times.
type Measurement struct {
	Key   string
	Value int64
}

func (g *group) info() Info {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.options.Now()
	elapsed := now.Sub(g.measured)
	g.measured = now
	i := Info{
		Settings: g.settings, StartFrom: g.settings.place(g.settings.Start), Status: g.status(),
		Total: g.total, Since: g.total - g.totalBefore, Retry: g.retry.Len(), Outstanding: g.timed.Len() + len(g.parks),
		Parked: g.parkedEnd - max(g.parkedFrom, g.replayNext),
	}
	g.totalBefore = g.total
	i.PerSecond = rate(i.Since, elapsed)
	if g.caughtUp && !g.blocked {
		i.Live = g.fresh.Len()
	} else {
		i.Read = g.fresh.Len()
	}
	if g.checkpoint >= 0 {
		i.Checkpoint = g.settings.place(g.checkpoint)
	}
	if g.lastKnown >= 0 {
		i.LastKnown = g.settings.place(g.lastKnown)
	}
	for _, c := range g.consumers {
		ci := ConsumerInfo{Connection: c.Connection, Free: c.Slots - c.inFlight, InFlight: c.inFlight, Total: c.total, Since: c.total - c.totalBefore}
		c.totalBefore = c.total
		ci.PerSecond = rate(ci.Since, elapsed)
		if g.settings.ExtraStatistics {
			ci.Measured = c.times.summary()
		}
		i.InFlight += c.inFlight
		i.Consumers = append(i.Consumers, ci)
	}
	return i
}

// status is written in EventStoreDB's words.
func (g *group) status() string {
	words := []string{"Behind"}
	switch {
	case g.fault != nil:
		words[0] = "NotReady"
	case g.caughtUp && !g.blocked:
		words[0] = "Live"
	}
	if g.replaying {
		words = append(words, "ReplayingParkedMessages")
	}
	return strings.Join(words, ", ")
}

func rate(n int64, d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return int(float64(n) / d.Seconds())
}

// measuredTimes is how many of a consumer's newest times are kept.
const measuredTimes = 1000

type measurements struct {
	times []int64
	next  int
}

func (m *measurements) add(d time.Duration) {
	if len(m.times) < measuredTimes {
		m.times = append(m.times, d.Milliseconds())
		return
	}
	m.times[m.next] = d.Milliseconds()
	m.next = (m.next + 1) % measuredTimes
}

// summary has EventStoreDB's keys.
func (m *measurements) summary() []Measurement {
	if len(m.times) == 0 {
		return nil
	}
	sorted := slices.Clone(m.times)
	slices.Sort(sorted)
	sum := int64(0)
	for _, t := range sorted {
		sum += t
	}
	at := func(percent float64) int64 {
		return sorted[min(int(float64(len(sorted))*percent/100), len(sorted)-1)]
	}
	s := []Measurement{{"Mean", sum / int64(len(sorted))}, {"Median", at(50)}, {"Fastest", sorted[0]}}
	for i := range 5 {
		s = append(s, Measurement{fmt.Sprintf("Quintile %d", i+1), at(float64(i * 20))})
	}
	for _, percent := range []float64{90, 95, 99, 99.5, 99.9} {
		s = append(s, Measurement{fmt.Sprintf("%v%%", percent), at(percent)})
	}
	return append(s, Measurement{"Highest", sorted[len(sorted)-1]})
}
