package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

func claimOf(candidate commands.PersonKey, recipient string, addresses ...string) commands.PersonClaim {
	c := commands.PersonClaim{Candidate: candidate, At: 1}
	if recipient != "" {
		c.Recipient = []byte(recipient)
	}
	for _, a := range addresses {
		c.Addresses = append(c.Addresses, []byte(a))
	}
	return c
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
					got, err := s.ClaimPerson(t.Context(), "acme", claimOf(candidate(id), "", id, shared))
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
			links, err := after.AddressPersons(t.Context(), "acme", []byte(id))
			if err != nil || len(links) != 1 || links[0].KeyID != key.KeyID || links[0].Kind != commands.LinkAnonymous {
				t.Fatalf("seed %d: a claim that returned was lost: %v", seed, err)
			}
			got, err := after.PersonKey(t.Context(), "acme", key.KeyID)
			if err != nil || got.PersonID != key.PersonID || string(got.Wrapped) != string(key.Wrapped) {
				t.Fatalf("seed %d: the key of a claim that returned was lost: %v", seed, err)
			}
			var i int
			if _, err := fmt.Sscanf(id, "%d.%d", new(int), &i); err != nil {
				t.Fatal(err)
			}
			shared, err := after.AddressPersons(t.Context(), "acme", fmt.Append(nil, "shared ", i))
			if err != nil || !slices.ContainsFunc(shared, func(l commands.PersonLink) bool { return l.KeyID == key.KeyID && l.Kind == commands.LinkMentioned }) {
				t.Fatalf("seed %d: half of a claim was lost: %v", seed, err)
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
	claim := func(id, recipient string, addresses ...string) call {
		return func(ctx context.Context, s *keystore.Store) error {
			got, err := s.ClaimPerson(ctx, "acme", claimOf(candidate(id), recipient, addresses...))
			if err == nil && got.KeyID != "k1" && id != "0" {
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
		"a claim, to the same claim":   {nil, claim("1", "anna", "a", "b"), claim("2", "anna", "b")},
		"a claim, to an anonymous one": {nil, claim("1", "anna", "a", "b"), claim("2", "", "b")},
		"a claim, to a look-up of an address": {nil, claim("1", "", "a", "b"), func(ctx context.Context, s *keystore.Store) error {
			got, err := s.AddressPersons(ctx, "acme", []byte("b"))
			if err == nil && (len(got) != 1 || got[0].KeyID != "k1") {
				err = errors.New("not found")
			}
			return err
		}},
		"a claim, to a look-up of a recipient": {nil, claim("1", "anna", "a"), func(ctx context.Context, s *keystore.Store) error {
			got, err := s.RecipientPerson(ctx, "acme", []byte("anna"))
			if err == nil && (got == nil || got.KeyID != "k1") {
				err = errors.New("not found")
			}
			return err
		}},
		"one more address of a person": {claim("1", "anna", "a"), claim("2", "anna", "a", "b"), claim("3", "", "b")},
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
		"a tombstone, to a claim": {
			claim("0", "anna", "a"),
			func(ctx context.Context, s *keystore.Store) error { return s.MarkErased(ctx, "acme", "k0") },
			claim("1", "anna", "a"),
		},
		"a tombstone": {
			claim("1", "anna", "a"),
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
			for range 20 { // a read that came before the write could be seen shows nothing
				if shown := readWhileSyncing(t, c.before, c.write, c.read); shown {
					return
				}
			}
			t.Error("the read always came before the write")
		})
	}
}

// readWhileSyncing begins a write, and a read while that is being synced: it must wait for
// the sync. It returns false if the read was before the write.
func readWhileSyncing(t *testing.T, before, write, read func(context.Context, *keystore.Store) error) bool {
	t.Helper()
	g := newGate()
	s := open(t, "keys", keystore.Options{FS: errorfs.Wrap(vfs.NewCrashableMem(), g)})
	if before != nil {
		if err := before(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	g.shut()
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer, 2)
	begin := func(name string, call func(context.Context, *keystore.Store) error) {
		go func() { answers <- answer{name, call(t.Context(), s)} }()
	}
	begin("the write", write)
	<-g.waiting // it is in the log and being synced; it may not be seen yet
	begin("the read", read)
	left := 2
	early := false
	select {
	case a := <-answers:
		left--
		if a.err == nil {
			t.Errorf("%s was answered before the sync returned", a.name)
		}
		early = true
	case <-time.After(50 * time.Millisecond): // in which a wrong answer would come
	}
	g.open()
	for range left {
		if a := <-answers; a.err != nil {
			t.Errorf("%s: %v", a.name, a.err)
		}
	}
	return !early || t.Failed()
}
