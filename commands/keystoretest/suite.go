// Package keystoretest is the suite that every commands.KeyStore must pass. It checks
// what the interface promises of results, races and reopening; that a crash loses
// nothing is for each implementation to show with its own means.
package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/commands"
)

// Subject is a new, empty store under test.
type Subject struct {
	Store commands.KeyStore
	// Erase makes the store know the key as destroyed.
	Erase func(ctx context.Context, tenant, keyID string) error
	// Reopen closes the store and opens it over the same data.
	Reopen func(t *testing.T) commands.KeyStore
}

// Run runs the suite; open makes a new subject and has it closed at the end of t.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	for name, test := range map[string]func(*testing.T, Subject){
		"tenant keys":                        tenantKeys,
		"secrets":                            secrets,
		"a person is found by every hash":    claims,
		"two persons are kept apart":         twoPersons,
		"tenants are apart":                  tenantsApart,
		"a bad claim is refused":             badClaims,
		"erased, and only that, is reported": erased,
		"route keys":                         routeKeys,
		"one address claimed by many":        oneAddressManyClaims,
		"overlapping claims of many":         overlappingClaims,
		"tenant keys made by many":           tenantKeyRace,
		"an ended context is just an error":  endedContext,
		"everything is there after reopen":   reopened,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func hash(names ...string) [][]byte {
	var all [][]byte
	for _, n := range names {
		all = append(all, []byte("hash of "+n))
	}
	return all
}

func key(name string) commands.PersonKey {
	return commands.PersonKey{PersonID: "person-" + name, KeyID: "key-" + name, Wrapped: []byte{0, 1, 0xff, name[0]}}
}

func claim(t *testing.T, s commands.KeyStore, tenant string, candidate commands.PersonKey, names ...string) commands.PersonKey {
	t.Helper()
	got, err := s.ClaimPerson(t.Context(), tenant, hash(names...), candidate)
	if err != nil {
		t.Fatalf("claiming: %v", err)
	}
	return got
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

func fails(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func tenantKeys(t *testing.T, u Subject) {
	_, err := u.Store.TenantKey(t.Context(), "acme")
	fails(t, "before it is made", err, commands.ErrKeyAbsent)
	for _, candidate := range []string{"first", "second"} {
		standing, err := u.Store.CreateTenantKey(t.Context(), "acme", []byte(candidate))
		fails(t, "making it", err, nil)
		same(t, "standing", string(standing), "first")
	}
	got, err := u.Store.TenantKey(t.Context(), "acme")
	fails(t, "reading it", err, nil)
	same(t, "read", string(got), "first")
	_, err = u.Store.TenantKey(t.Context(), "acm")
	fails(t, "another tenant", err, commands.ErrKeyAbsent)
}

func secrets(t *testing.T, u Subject) {
	for _, candidate := range []string{"first", "second"} {
		standing, err := u.Store.Secret(t.Context(), "cursor", []byte(candidate))
		fails(t, "making it", err, nil)
		same(t, "standing", string(standing), "first")
	}
	other, err := u.Store.Secret(t.Context(), "other", []byte("third"))
	fails(t, "another", err, nil)
	same(t, "another", string(other), "third")
}

func claims(t *testing.T, u Subject) {
	s := u.Store
	none, err := s.Person(t.Context(), "acme", hash("a"))
	fails(t, "unknown", err, nil)
	same(t, "unknown", none, (*commands.PersonKey)(nil))
	_, err = s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "unknown key", err, commands.ErrKeyAbsent)

	same(t, "a new person", claim(t, s, "acme", key("1"), "a", "b", "a"), key("1"))
	same(t, "known by all", claim(t, s, "acme", key("2"), "b", "a"), key("1"))
	same(t, "known by one", claim(t, s, "acme", key("3"), "c", "b"), key("1"))
	same(t, "known by the new one", claim(t, s, "acme", key("4"), "c"), key("1"))
	same(t, "the first claim again", claim(t, s, "acme", key("1"), "a", "b"), key("1"))
	same(t, "someone else", claim(t, s, "acme", key("5"), "d"), key("5"))

	for _, names := range [][]string{{"a"}, {"c"}, {"a", "b", "c"}, {"a", "nobody's"}} {
		got, err := s.Person(t.Context(), "acme", hash(names...))
		fails(t, "finding", err, nil)
		same(t, "found", got, new(key("1")))
	}
	got, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "by key", err, nil)
	same(t, "by key", got, key("1"))
	for _, unused := range []string{"key-2", "key-3", "key-4"} {
		_, err := s.PersonKey(t.Context(), "acme", unused)
		fails(t, "a candidate not taken", err, commands.ErrKeyAbsent)
	}
	// Looking a hash up did not map it.
	same(t, "looked up before", claim(t, s, "acme", key("6"), "nobody's"), key("6"))
}

func twoPersons(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "a")
	claim(t, s, "acme", key("2"), "b")
	_, err := s.ClaimPerson(t.Context(), "acme", hash("new", "a", "b"), key("3"))
	fails(t, "claiming", err, commands.ErrTwoPersons)
	_, err = s.Person(t.Context(), "acme", hash("b", "a"))
	fails(t, "finding", err, commands.ErrTwoPersons)
	got, err := s.Person(t.Context(), "acme", hash("new"))
	fails(t, "after the refusal", err, nil)
	same(t, "after the refusal", got, (*commands.PersonKey)(nil))
	_, err = s.PersonKey(t.Context(), "acme", "key-3")
	fails(t, "the candidate", err, commands.ErrKeyAbsent)
}

func tenantsApart(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "a")
	same(t, "same hash, other tenant", claim(t, s, "acme2", key("2"), "a"), key("2"))
	_, err := s.PersonKey(t.Context(), "acme2", "key-1")
	fails(t, "another tenant's key", err, commands.ErrKeyAbsent)
	got, err := s.Person(t.Context(), "acme", hash("a"))
	fails(t, "finding", err, nil)
	same(t, "finding", got, new(key("1")))
}

func badClaims(t *testing.T, u Subject) {
	s := u.Store
	if _, err := s.ClaimPerson(t.Context(), "acme", nil, key("1")); err == nil {
		t.Error("a claim without hashes was taken")
	}
	if _, err := s.ClaimPerson(t.Context(), "acme", hash("a"), commands.PersonKey{}); err == nil {
		t.Error("a claim without a candidate was taken")
	}
	claim(t, s, "acme", key("1"), "a")
	if _, err := s.ClaimPerson(t.Context(), "acme", hash("b"), key("1")); err == nil {
		t.Error("a key id was made twice")
	}
}

func erased(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "a")
	claim(t, s, "acme", key("2"), "b")
	if err := u.Erase(t.Context(), "acme", "key-1"); err != nil {
		t.Fatal(err)
	}
	_, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "the key", err, commands.ErrKeyErased)
	_, err = s.Person(t.Context(), "acme", hash("a"))
	fails(t, "the person", err, commands.ErrKeyErased)
	_, err = s.ClaimPerson(t.Context(), "acme", hash("a", "c"), key("3"))
	fails(t, "claiming", err, commands.ErrKeyErased)
	same(t, "what came with that claim", claim(t, s, "acme", key("4"), "c"), key("4"))
	got, err := s.PersonKey(t.Context(), "acme", "key-2")
	fails(t, "another person", err, nil)
	same(t, "another person", got, key("2"))
	_, err = s.PersonKey(t.Context(), "acme", "key-9")
	fails(t, "a key that never was", err, commands.ErrKeyAbsent)
}

func routeKeys(t *testing.T, u Subject) {
	s := u.Store
	mk := func(route, id string, expires int64) commands.RouteKey {
		return commands.RouteKey{ID: id, Route: route, Wrapped: []byte(route + id), ExpiresUnix: expires}
	}
	want := []commands.RouteKey{mk("sms", "c", 300), mk("sms", "b", 200), mk("sms", "a", 100)}
	for _, k := range []commands.RouteKey{want[1], want[0], want[2], mk("sms2", "d", 900), mk("s", "e", 900), mk("", "f", 900)} {
		got, err := s.CreateRouteKey(t.Context(), k)
		fails(t, "making", err, nil)
		same(t, "made", got, k)
	}
	other := mk("sms", "b", 999)
	other.Wrapped = []byte("other")
	got, err := s.CreateRouteKey(t.Context(), other)
	fails(t, "making again", err, nil)
	same(t, "standing", got, want[1])
	for now, n := range map[int64]int{0: 3, 99: 3, 100: 2, 200: 1, 299: 1, 300: 0} {
		keys, err := s.RouteKeys(t.Context(), "sms", now)
		fails(t, "reading", err, nil)
		same(t, fmt.Sprint("not expired at ", now), len(keys), n)
		for i := range keys {
			same(t, "newest first", keys[i], want[i])
		}
	}
	keys, err := s.RouteKeys(t.Context(), "none", 0)
	fails(t, "a route without keys", err, nil)
	same(t, "a route without keys", len(keys), 0)
}

const racers = 64

// race calls f from many goroutines at once and waits for them.
func race(f func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(racers)
	for i := range racers {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			f(i)
		})
	}
	done.Wait()
}

func oneAddressManyClaims(t *testing.T, u Subject) {
	var got [racers]commands.PersonKey
	var errs [racers]error
	race(func(i int) {
		got[i], errs[i] = u.Store.ClaimPerson(t.Context(), "acme", hash("a", fmt.Sprint(i%8)), key(fmt.Sprint(i)))
	})
	for i := range got {
		fails(t, "claiming", errs[i], nil)
		same(t, "the person", got[i], got[0])
	}
}

// Claims that share hashes in a ring: some must be refused, depending on which came
// first, but a result once returned stays right.
func overlappingClaims(t *testing.T, u Subject) {
	var got [racers]commands.PersonKey
	var errs [racers]error
	names := func(i int) []string { return []string{fmt.Sprint(i), fmt.Sprint((i + 1) % racers)} }
	race(func(i int) {
		got[i], errs[i] = u.Store.ClaimPerson(t.Context(), "acme", hash(names(i)...), key(fmt.Sprint(i)))
		if errs[i] != nil {
			return
		}
		if p, err := u.Store.Person(t.Context(), "acme", hash(names(i)...)); err != nil || !cmp.Equal(*p, got[i]) {
			t.Errorf("what was claimed is not found: %v", err)
		}
	})
	for i := range got {
		if errs[i] != nil {
			fails(t, "claiming", errs[i], commands.ErrTwoPersons)
			continue
		}
		for _, n := range names(i) {
			p, err := u.Store.Person(t.Context(), "acme", hash(n))
			fails(t, "finding", err, nil)
			same(t, "the person of a hash", p, &got[i])
		}
	}
}

func tenantKeyRace(t *testing.T, u Subject) {
	var got [racers]string
	race(func(i int) {
		standing, err := u.Store.CreateTenantKey(t.Context(), "acme", fmt.Append(nil, i))
		fails(t, "making", err, nil)
		got[i] = string(standing)
	})
	for i := range got {
		same(t, "the key", got[i], got[0])
	}
}

func endedContext(t *testing.T, u Subject) {
	claim(t, u.Store, "acme", key("1"), "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := u.Store.PersonKey(ctx, "acme", "key-1")
	if err == nil || errors.Is(err, commands.ErrKeyErased) || errors.Is(err, commands.ErrKeyAbsent) {
		t.Errorf("got %v", err)
	}
	p, err := u.Store.Person(ctx, "acme", hash("a"))
	if err == nil || errors.Is(err, commands.ErrKeyErased) || p != nil {
		t.Errorf("got %v", err)
	}
}

func reopened(t *testing.T, u Subject) {
	ctx := t.Context()
	claim(t, u.Store, "acme", key("1"), "a", "b")
	claim(t, u.Store, "acme", key("2"), "c")
	route := commands.RouteKey{ID: "r", Route: "sms", Wrapped: []byte("w"), ExpiresUnix: 100}
	_, err1 := u.Store.CreateTenantKey(ctx, "acme", []byte("tenant"))
	_, err2 := u.Store.Secret(ctx, "s", []byte("secret"))
	_, err3 := u.Store.CreateRouteKey(ctx, route)
	if err := errors.Join(err1, err2, err3, u.Erase(ctx, "acme", "key-2")); err != nil {
		t.Fatal(err)
	}
	s := u.Reopen(t)
	same(t, "person", claim(t, s, "acme", key("3"), "b"), key("1"))
	_, err := s.PersonKey(ctx, "acme", "key-2")
	fails(t, "erased", err, commands.ErrKeyErased)
	tenant, err := s.TenantKey(ctx, "acme")
	fails(t, "tenant", err, nil)
	same(t, "tenant", string(tenant), "tenant")
	secret, err := s.Secret(ctx, "s", []byte("other"))
	fails(t, "secret", err, nil)
	same(t, "secret", string(secret), "secret")
	keys, err := s.RouteKeys(ctx, "sms", 0)
	fails(t, "route", err, nil)
	same(t, "route", keys, []commands.RouteKey{route})
}
