package delivery_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"recapito/commands/commandstest"
	"recapito/commands/delivery"
	"recapito/commands/storetest/memory"
	"recapito/domain/event"
)

// poolFeed hands over what a store holds as a persistent subscription may: to any of its
// consumers, out of order now and then, twice now and then, again what failed.
type poolFeed struct {
	store  *memory.Store
	random *rand.Rand
	mu     sync.Mutex
	shown  int // of the store's events
	pool   []event.Recorded
	parked int // how often something failed
	groups map[string]bool
}

// take answers the next event for some consumer.
func (f *poolFeed) take(sub event.Subscription) (event.Recorded, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.store.All()
	for ; f.shown < len(all); f.shown++ {
		e := all[f.shown]
		if sub.Filter.Passes(e.Stream, e.Type) && (sub.After == nil || e.Position > *sub.After) {
			f.pool = append(f.pool, e)
		}
	}
	if len(f.pool) == 0 {
		return event.Recorded{}, false
	}
	i := 0
	if f.random.IntN(5) == 0 {
		i = f.random.IntN(len(f.pool))
	}
	e := f.pool[i]
	if f.random.IntN(20) > 0 {
		f.pool = append(f.pool[:i], f.pool[i+1:]...)
	}
	return e, true
}

func (f *poolFeed) Consume(ctx context.Context, group string, sub event.Subscription, handle func(context.Context, event.Recorded) error) error {
	var handling sync.WaitGroup
	defer handling.Wait()
	f.mu.Lock()
	f.groups[group] = true
	f.mu.Unlock()
	slots := make(chan struct{}, 100)
	for ctx.Err() == nil {
		e, ok := f.take(sub)
		if !ok {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		slots <- struct{}{}
		handling.Go(func() {
			defer func() { <-slots }()
			if handle(ctx, e) != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.pool = append(f.pool, e)
				f.parked++
			}
		})
	}
	return nil
}

// Two runners share a feed: everything is done, one stream's inputs one at a time in
// each, whatever fails for however long; and nothing is appended.
func TestRunnersShareAFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory.Store{}
		feed := &poolFeed{store: store, random: rand.New(rand.NewPCG(1, 2)), groups: map[string]bool{}}
		var mu sync.Mutex
		done := map[event.Position]int{}
		working := true
		var stops []func()
		for range 2 {
			busy := map[string]bool{}
			r := &delivery.Runner{Name: "test", Store: store, Feed: feed, Filter: orders, Log: commandstest.Quiet, Handle: func(ctx context.Context, e event.Recorded) error {
				mu.Lock()
				if busy[e.Stream] {
					t.Errorf("two inputs of %s at a time", e.Stream)
				}
				busy[e.Stream] = true
				fails := !working && e.Position%7 == 0 || rand.IntN(10) == 0
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				busy[e.Stream] = false
				if fails {
					return errors.New("not now")
				}
				done[e.Position]++
				return nil
			}}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				if err := r.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			}()
			stops = append(stops, func() {
				cancel()
				<-ended
				if s := r.State(); s.Waiting != 0 || s.Position == 0 {
					t.Errorf("at the end: %+v", s)
				}
			})
		}
		for i := range 300 {
			appendOrder(t, store, "order-"+string(rune('a'+i%17)))
			if i == 100 {
				mu.Lock()
				working = false
				mu.Unlock()
			}
		}
		time.Sleep(time.Minute) // past their patience: it comes again
		mu.Lock()
		working = true
		mu.Unlock()
		time.Sleep(time.Minute)
		stops[0]()
		appendOrder(t, store, "order-z")
		time.Sleep(time.Second)
		stops[1]()
		all := store.All()
		for _, e := range all {
			if done[e.Position] == 0 {
				t.Errorf("the input at %d was not done", e.Position)
			}
		}
		if len(all) != 301 || feed.parked == 0 || !feed.groups["recapito-test"] || len(feed.groups) != 1 {
			t.Errorf("%d events, %d given back, groups %v", len(all), feed.parked, feed.groups)
		}
	})
}
