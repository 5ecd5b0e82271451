package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"recapito/adapters/keystore"
	"recapito/commands"
)

func candidate(id string) commands.PersonKey {
	return commands.PersonKey{PersonID: "p" + id, KeyID: "k" + id, Wrapped: []byte(id)}
}

// A crash at any moment, with any part of what was not synced lost, keeps every claim
// that was answered, and no claim by half.
func TestCrashKeepsWhatWasAnswered(t *testing.T) {
	const writers, crashes = 16, 12
	for seed := range uint64(crashes) {
		mem := vfs.NewCrashableMem()
		s := open(t, "keys", keystore.Options{FS: mem})
		var (
			mu       sync.Mutex
			answered = map[string]commands.PersonKey{}
			enough   = make(chan struct{})
			stop     = make(chan struct{})
			done     sync.WaitGroup
		)
		rng := rand.New(rand.NewPCG(seed, 1))
		wanted := 20 + rng.IntN(300)
		for w := range writers {
			done.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					id := fmt.Sprint(w, ".", i)
					shared := fmt.Sprint("shared ", i) // every writer's i-th claim meets the others'
					got, err := s.ClaimPerson(t.Context(), "acme", [][]byte{[]byte(id), []byte(shared)}, candidate(id))
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
						return
					}
					mu.Lock()
					answered[id] = got
					if len(answered) == wanted {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		mu.Lock() // what is in answered now was answered before the crash
		image := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%4) * 33, RNG: rng})
		before := make(map[string]commands.PersonKey, len(answered))
		for id, key := range answered {
			before[id] = key
		}
		mu.Unlock()
		close(stop)
		done.Wait()

		after := open(t, "keys", keystore.Options{FS: image})
		for id, key := range before {
			got, err := after.Person(t.Context(), "acme", [][]byte{[]byte(id)})
			if err != nil || got == nil || got.PersonID != key.PersonID || string(got.Wrapped) != string(key.Wrapped) {
				t.Fatalf("seed %d: an answered claim was lost: %v", seed, err)
			}
		}
	}
}

// gate lets a test hold every sync of the log back.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{} // closed while syncs pass
	waiting chan struct{} // told of each sync held back
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{}), waiting: make(chan struct{}, 1000)}
	close(g.opened)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.opened)
}

func (g *gate) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		g.mu.Lock()
		opened := g.opened
		g.mu.Unlock()
		select {
		case <-opened:
		default:
			select {
			case g.waiting <- struct{}{}:
			default:
			}
			<-opened
		}
	}
	return nil
}

func (g *gate) String() string { return "gate" }

// Nobody is answered from a write that is not yet synced, for it may yet be lost.
func TestNothingUnsyncedIsShown(t *testing.T) {
	type call func(ctx context.Context, s *keystore.Store) error
	hashes := [][]byte{[]byte("a"), []byte("b")}
	claim := func(names [][]byte, id string) call {
		return func(ctx context.Context, s *keystore.Store) error {
			got, err := s.ClaimPerson(ctx, "acme", names, candidate(id))
			if err == nil && got.KeyID != "k1" {
				err = errors.New("another person")
			}
			return err
		}
	}
	tenant := func(ctx context.Context, s *keystore.Store) error {
		_, err := s.CreateTenantKey(ctx, "acme", []byte("t"))
		return err
	}
	route := func(ctx context.Context, s *keystore.Store) error {
		_, err := s.CreateRouteKey(ctx, commands.RouteKey{ID: "r", Route: "sms", Wrapped: []byte("w"), ExpiresUnix: 1})
		return err
	}
	for name, c := range map[string]struct{ before, write, read call }{
		"a claim, to the same claim": {nil, claim(hashes, "1"), claim(hashes[1:], "2")},
		"a claim, to a look-up": {nil, claim(hashes, "1"), func(ctx context.Context, s *keystore.Store) error {
			got, err := s.Person(ctx, "acme", hashes[:1])
			if err == nil && (got == nil || got.KeyID != "k1") {
				err = errors.New("not found")
			}
			return err
		}},
		"one more hash of a person": {claim(hashes[:1], "1"), claim(hashes, "2"), claim(hashes[1:], "3")},
		"a tenant's key, to a reader": {nil, tenant, func(ctx context.Context, s *keystore.Store) error {
			_, err := s.TenantKey(ctx, "acme")
			return err
		}},
		"a tenant's key, to another maker": {nil, tenant, tenant},
		"a route's key": {nil, route, func(ctx context.Context, s *keystore.Store) error {
			keys, err := s.RouteKeys(ctx, "sms", 0)
			if err == nil && len(keys) != 1 {
				err = errors.New("not found")
			}
			return err
		}},
		"a tombstone": {
			claim(hashes, "1"),
			func(ctx context.Context, s *keystore.Store) error { return s.MarkErased(ctx, "acme", "k1") },
			func(ctx context.Context, s *keystore.Store) error {
				if _, err := s.PersonKey(ctx, "acme", "k1"); !errors.Is(err, commands.ErrKeyErased) {
					return fmt.Errorf("got %w", err)
				}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			s := open(t, "keys", keystore.Options{FS: errorfs.Wrap(vfs.NewCrashableMem(), g)})
			if c.before != nil {
				if err := c.before(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
			g.shut()
			answers := make(chan string, 2)
			var calls sync.WaitGroup
			call := func(name string, f call) {
				calls.Go(func() {
					if err := f(t.Context(), s); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					answers <- name
				})
			}
			call("the write", c.write)
			<-g.waiting // it is in the log and being synced
			call("the read", c.read)
			select {
			case name := <-answers:
				t.Errorf("%s was answered before the sync returned", name)
			case <-time.After(50 * time.Millisecond): // in which a wrong answer would come
			}
			g.open()
			calls.Wait()
		})
	}
}
