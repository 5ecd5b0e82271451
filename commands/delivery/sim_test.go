package delivery_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// How many seeds a plain run and one under the race detector take.
const (
	simSeeds     = 1_000
	simSeedsRace = 500
)

// TestSim drives the real code (Notifications, Handler, Manager, Worker, Receiver,
// Matcher, the deadlines' Service) through random interleavings on fake time: crashes
// between any two steps, a wiped queue, lost, late, duplicated and early answers and
// receipts. See sim_check_test.go for what must hold. A seed that fails prints its
// trace; RECAPITO_SIM_SEED=n replays one, RECAPITO_SIM_SEEDS=n runs so many.
func TestSim(t *testing.T) {
	if simCodecErr != nil {
		t.Fatal(simCodecErr)
	}
	if one := os.Getenv("RECAPITO_SIM_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("RECAPITO_SIM_SEED: %v", err)
		}
		failed, trace := simulate(seed, bugs{}, true)
		t.Logf("seed %d:\n%s", seed, trace)
		if failed != "" {
			t.Fatalf("seed %d: %s", seed, failed)
		}
		return
	}
	count := uint64(simSeeds)
	if raceEnabled {
		count = simSeedsRace
	}
	if n := os.Getenv("RECAPITO_SIM_SEEDS"); n != "" {
		given, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			t.Fatalf("RECAPITO_SIM_SEEDS: %v", err)
		}
		count = given
	} else if testing.Short() || flag.Lookup("test.fuzz") != nil && flag.Lookup("test.fuzz").Value.String() != "" {
		count /= 20
	}
	if seed, failed := firstFailure(count, bugs{}); failed != "" {
		_, trace := simulate(seed, bugs{}, true)
		t.Fatalf("seed %d: %s\nreplay with RECAPITO_SIM_SEED=%d; the end of its trace:\n%s", seed, failed, seed, trace)
	}
}

// firstFailure runs seeds side by side and answers the lowest that fails.
func firstFailure(count uint64, b bugs) (seed uint64, failed string) {
	var next atomic.Uint64
	var mu sync.Mutex
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for {
				n := next.Add(1)
				mu.Lock()
				over := n > count || failed != "" && n > seed
				mu.Unlock()
				if over {
					return
				}
				if why, _ := simulate(n, b, false); why != "" {
					mu.Lock()
					if failed == "" || n < seed {
						seed, failed = n, why
					}
					mu.Unlock()
				}
			}
		})
	}
	running.Wait()
	return seed, failed
}

// simulate runs one seed until nothing is left to do, and answers what broke.
func simulate(seed uint64, b bugs, tracing bool) (failed, trace string) {
	w := newWorld(seed, b)
	w.s.tracing = tracing
	defer w.end()
	w.begin()
	w.s.run()
	if w.s.failed == "" {
		w.check.atRest()
	}
	if tracing {
		const lines = 400
		trace = w.s.tail(lines)
	}
	return w.s.failed, trace
}

// TestSimFindsPlantedBugs: a simulation that cannot fail proves nothing.
func TestSimFindsPlantedBugs(t *testing.T) {
	if raceEnabled {
		t.Skip("the run without the race detector does it")
	}
	const seeds = 2000
	for _, test := range []struct {
		name string
		bugs bugs
	}{
		{"appends at any revision", bugs{anyRevision: true}},
		{"the fence is always open", bugs{openFence: true}},
		{"no watchdog", bugs{noWatchdog: true}},
		{"the checkpoint moves before intents are durable", bugs{doneBeforeDurable: true}},
		{"receipts are acknowledged before they are durable", bugs{earlyAck: true}},
		{"a start of the deadlines is shown nothing set before", bugs{deadlinesFromEnd: true}},
		{"what has no answer is tried again", bugs{lostAsNotSent: true}},
		{"workers do not ask the claim guards", bugs{noGuard: true}},
		{"a start of the matcher is shown nothing it saw before", bugs{horizonAtSeen: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			seed, failed := firstFailure(seeds, test.bugs)
			if failed == "" {
				t.Fatalf("not found in %d seeds", seeds)
			}
			first, _, _ := strings.Cut(failed, "\n")
			t.Logf("found by seed %d: %s", seed, first)
		})
	}
}
