package channeltest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"recapito/commands/channel"
	"recapito/domain/notification"
)

func testCapacity(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	var releases []func()
	for range p.Capacity {
		release, err := p.Channel.Acquire(within(t, patience), 1)
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(releases), p.Capacity, err)
		}
		releases = append(releases, release)
	}
	begun := time.Now()
	if _, err := p.Channel.Acquire(within(t, 50*time.Millisecond), 1); !errors.Is(err, channel.ErrRouteFull) {
		t.Errorf("one more: %v", err)
	}
	if d := time.Since(begun); d < 40*time.Millisecond || d > 5*time.Second {
		t.Errorf("it waited %v, not 50ms", d)
	}
	waited := make(chan error, 1)
	go func() {
		release, err := p.Channel.Acquire(within(t, patience), 1)
		if err == nil {
			release()
		}
		waited <- err
	}()
	releases[0]()
	if err := <-waited; err != nil {
		t.Errorf("after a release: %v", err)
	}
	for _, release := range releases[1:] {
		release()
	}
	release, err := p.Channel.Acquire(within(t, patience), min(p.Capacity, p.MaxUnits))
	if err != nil {
		t.Fatalf("all released, but: %v", err)
	}
	release()
}

// testCapacityInTurn: who asks for much is not starved by those who ask for little.
func testCapacityInTurn(t *testing.T, open Open) {
	p := openUnits(t, open)
	many := min(p.MaxUnits, p.Capacity)
	stop := make(chan struct{})
	var small sync.WaitGroup
	for range p.Capacity {
		small.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if release, err := p.Channel.Acquire(within(t, patience), 1); err == nil {
					time.Sleep(time.Millisecond)
					release()
				}
			}
		})
	}
	release, err := p.Channel.Acquire(within(t, patience), many)
	if err != nil {
		t.Errorf("%d units among others of one: %v", many, err)
	} else {
		release()
	}
	close(stop)
	small.Wait()
}

func testDown(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	if p.Down == nil {
		t.Skip("this far side cannot be down")
	}
	p.Down()
	eventually(t, "the channel says it is down", func() bool {
		release, err := p.Channel.Acquire(within(t, 100*time.Millisecond), 1)
		if err == nil {
			release()
		}
		return errors.Is(err, channel.ErrRouteDown)
	})
	out := p.Channel.Send(within(t, patience), p.Message(1, 1), always, nil)
	if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitNotSent {
		t.Errorf("outcome %+v", out)
	}
}

// testTogether: many messages at once, each arrives once, with an id of its own.
func testTogether(t *testing.T, open Open) {
	p, _ := openPeer(t, open)
	const messages = 200
	ids := make([]string, messages)
	var wg sync.WaitGroup
	for n := range messages {
		wg.Go(func() {
			release, err := p.Channel.Acquire(within(t, patience), 1)
			if err != nil {
				t.Errorf("acquire: %v", err)
				return
			}
			defer release()
			out := p.Channel.Send(within(t, patience), p.Message(n, 1), always, nil)
			if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitAccepted {
				t.Errorf("outcome %+v", out)
				return
			}
			ids[n] = out.Units[0].ProviderID
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, id := range ids {
		seen[id] = true
	}
	if len(seen) != messages {
		t.Errorf("%d messages have %d ids", messages, len(seen))
	}
	count := map[string]int{}
	for _, a := range p.Arrived() {
		count[fmt.Sprint(a.Reference, a.Unit)]++
	}
	for key, n := range count {
		if n != 1 {
			t.Errorf("%s arrived %d times", key, n)
		}
	}
	if len(count) != messages {
		t.Errorf("%d of %d messages arrived", len(count), messages)
	}
}
