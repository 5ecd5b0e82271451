package smpp_test

import (
	"strings"
	"testing"
	"time"

	"recapito/adapters/smpp"
	"recapito/adapters/smpp/sandbox"
	"recapito/commands/channel"
	"recapito/commands/channel/channeltest"
)

// TestChannel: a route against the simulator, over TCP, is a channel.
func TestChannel(t *testing.T) {
	for _, binds := range []int{1, 3} {
		t.Run(map[int]string{1: "one bind", 3: "three binds"}[binds], func(t *testing.T) {
			channeltest.Run(t, func(t *testing.T, sink channel.ReceiptSink) channeltest.Peer { return peer(t, sink, binds) })
		})
	}
}

func peer(t *testing.T, sink channel.ReceiptSink, binds int) channeltest.Peer {
	dir := t.TempDir()
	sim, err := sandbox.New(sandbox.Options{Dir: dir, Addr: "127.0.0.1:0", ReceiptRetryMin: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	stop := runUntilEnd(t, sim.Run)
	const window = 20
	r := startRoute(t, smpp.RouteOptions{
		Addr: sim.Addr(), Binds: binds, Window: window, SendReference: true, Sink: sink, ThrottleMin: time.Millisecond,
	})
	eventually(t, "all binds", func() bool { return sim.Stats().Binds == uint64(binds) })
	return channeltest.Peer{
		Channel:  r,
		MaxUnits: smpp.MaxUnits,
		TooLong:  textOf(strings.Repeat("a", 153*smpp.MaxUnits+1)),
		Capacity: binds * window,
		Late:     true,
		Receipts: true,
		Cut:      sim.Disconnect,
		Down:     stop,
		Message: func(n, parts int) channel.Message {
			if parts == 1 {
				return message(n, "one part")
			}
			return message(n, strings.Repeat("a", 153*parts))
		},
		Behave: func(b channeltest.Behaviour) {
			chance := func(b bool) float64 {
				if b {
					return 1
				}
				return 0
			}
			err := sim.Behave(sandbox.Behaviour{Latency: b.Latency, Mix: sandbox.Mix{
				RefusePermanently: chance(b.Refuse), RefuseTransiently: chance(b.RefuseForNow), Throttle: chance(b.Busy), LoseAnswer: chance(b.Silent),
				LoseReceipt: chance(b.Silent), Undelivered: chance(b.Undelivered), DuplicateReceipt: chance(b.Duplicate),
			}})
			if err != nil {
				t.Fatal(err)
			}
		},
		Arrived: func() []channeltest.Arrival {
			entries, err := sandbox.ReadJournal(dir)
			if err != nil {
				t.Fatal(err)
			}
			var out []channeltest.Arrival
			for _, e := range entries {
				out = append(out, channeltest.Arrival{Reference: e.Reference, Unit: e.Part})
			}
			return out
		},
	}
}
