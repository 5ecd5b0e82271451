// Package keystoretest is the suite that every commands.KeyStore must pass. It checks
// what the interface promises of results, races and reopening; that a crash loses
// nothing is for each implementation to show with its own means.
package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
		"tenant keys":                       tenantKeys,
		"secrets":                           secrets,
		"a recipient id is a person":        recipients,
		"two recipients share an address":   sharedAddress,
		"a request without a recipient":     anonymous,
		"a mention joins nobody":            mentions,
		"a link says what it knows best":    linkUpgrade,
		"a claim that names nothing":        nothingNamed,
		"tenants are apart":                 tenantsApart,
		"a bad claim is refused":            badClaims,
		"erased is of one key only":         erased,
		"an erased address is free":         erasedAddress,
		"an address of many persons":        manyPersons,
		"route keys":                        routeKeys,
		"one new address claimed by many":   oneAddressManyClaims,
		"one new recipient claimed by many": oneRecipientManyClaims,
		"overlapping claims of many":        overlappingClaims,
		"claims race with an erasure":       erasureRace,
		"tenant keys made by many":          tenantKeyRace,
		"an ended context is just an error": endedContext,
		"everything is there after reopen":  reopened,
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

// claimOf is a claim of a recipient id ("" for none) and addresses.
func claimOf(candidate commands.PersonKey, recipient string, addresses ...string) commands.PersonClaim {
	c := commands.PersonClaim{Addresses: hash(addresses...), Candidate: candidate, At: at}
	if recipient != "" {
		c.Recipient = []byte("recipient " + recipient)
	}
	return c
}

// at is when the suite's links begin.
const at = 1_800_000_000

func claim(t *testing.T, s commands.KeyStore, tenant string, candidate commands.PersonKey, recipient string, addresses ...string) commands.PersonKey {
	t.Helper()
	got, err := s.ClaimPerson(t.Context(), tenant, claimOf(candidate, recipient, addresses...))
	if err != nil {
		t.Fatalf("claiming: %v", err)
	}
	return got
}

// persons returns the persons of an address as "1 anonymous, 2 held".
func persons(t *testing.T, s commands.KeyStore, tenant, address string) string {
	t.Helper()
	links, err := s.AddressPersons(t.Context(), tenant, hash(address)[0])
	if err != nil {
		t.Fatalf("persons of an address: %v", err)
	}
	var all []string
	for _, l := range links {
		kind := map[commands.LinkKind]string{commands.LinkAnonymous: "anonymous", commands.LinkHeld: "held", commands.LinkMentioned: "mentioned"}[l.Kind]
		if l.From != at || l.To != 0 || l.PersonID != "person-"+strings.TrimPrefix(l.KeyID, "key-") {
			t.Errorf("link: %+v", l)
		}
		all = append(all, strings.TrimPrefix(l.KeyID, "key-")+" "+kind)
	}
	return strings.Join(all, ", ")
}

// recipient returns the key id of a recipient id's person; "" if it has none.
func recipient(t *testing.T, s commands.KeyStore, tenant, id string) string {
	t.Helper()
	link, err := s.RecipientPerson(t.Context(), tenant, []byte("recipient "+id))
	if err != nil {
		t.Fatalf("person of a recipient: %v", err)
	}
	if link == nil {
		return ""
	}
	if link.Kind != commands.LinkHeld || link.From != at || link.To != 0 {
		t.Errorf("link: %+v", link)
	}
	return link.KeyID
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

func recipients(t *testing.T, u Subject) {
	s := u.Store
	same(t, "before", recipient(t, s, "acme", "anna"), "")
	_, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "unknown key", err, commands.ErrKeyAbsent)

	same(t, "a new person", claim(t, s, "acme", key("1"), "anna", "a", "b", "a"), key("1"))
	same(t, "known by the id", claim(t, s, "acme", key("2"), "anna"), key("1"))
	same(t, "with a new address", claim(t, s, "acme", key("3"), "anna", "c"), key("1"))
	same(t, "of the id", recipient(t, s, "acme", "anna"), "key-1")
	for _, address := range []string{"a", "b", "c"} {
		same(t, "of "+address, persons(t, s, "acme", address), "1 held")
	}
	same(t, "of an unknown one", persons(t, s, "acme", "d"), "")
	got, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "by key", err, nil)
	same(t, "by key", got, key("1"))
	for _, unused := range []string{"key-2", "key-3"} {
		_, err := s.PersonKey(t.Context(), "acme", unused)
		fails(t, "a candidate not taken", err, commands.ErrKeyAbsent)
	}
}

func sharedAddress(t *testing.T, u Subject) {
	s := u.Store
	same(t, "the first", claim(t, s, "acme", key("1"), "anna", "a", "b"), key("1"))
	same(t, "the second", claim(t, s, "acme", key("2"), "bruno", "a"), key("2"))
	same(t, "the first again", claim(t, s, "acme", key("3"), "anna", "a"), key("1"))
	same(t, "the second with both addresses", claim(t, s, "acme", key("4"), "bruno", "b", "a"), key("2"))
	same(t, "of the address", persons(t, s, "acme", "a"), "1 held, 2 held")
	same(t, "of the other", persons(t, s, "acme", "b"), "1 held, 2 held")
	same(t, "no recipient, two holders", claim(t, s, "acme", key("5"), "", "a"), key("5"))
	same(t, "and again", claim(t, s, "acme", key("6"), "", "a"), key("5"))
	same(t, "of the address", persons(t, s, "acme", "a"), "5 anonymous, 1 held, 2 held")
	same(t, "a recipient comes after the anonymous one", claim(t, s, "acme", key("7"), "carla", "a"), key("7"))
	same(t, "which stays", claim(t, s, "acme", key("8"), "", "a"), key("5"))
}

func anonymous(t *testing.T, u Subject) {
	s := u.Store
	same(t, "nobody's address", claim(t, s, "acme", key("1"), "", "a"), key("1"))
	same(t, "again", claim(t, s, "acme", key("2"), "", "a"), key("1"))
	same(t, "of the address", persons(t, s, "acme", "a"), "1 anonymous")
	same(t, "a recipient is another person", claim(t, s, "acme", key("3"), "anna", "a", "b"), key("3"))
	same(t, "the anonymous one first", claim(t, s, "acme", key("4"), "", "a"), key("1"))
	same(t, "the one holder of an address", claim(t, s, "acme", key("5"), "", "b"), key("3"))
	same(t, "of the other address", persons(t, s, "acme", "b"), "3 held")
	same(t, "with another address, mentioned", claim(t, s, "acme", key("6"), "", "b", "c"), key("3"))
	same(t, "of the mentioned one", persons(t, s, "acme", "c"), "3 mentioned")
}

func mentions(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "", "a")
	claim(t, s, "acme", key("2"), "", "b")
	same(t, "the first address decides", claim(t, s, "acme", key("3"), "", "a", "b", "new"), key("1"))
	same(t, "of the first", persons(t, s, "acme", "a"), "1 anonymous")
	same(t, "of the second", persons(t, s, "acme", "b"), "2 anonymous, 1 mentioned")
	same(t, "of the new one", persons(t, s, "acme", "new"), "1 mentioned")
	same(t, "in the other order", claim(t, s, "acme", key("4"), "", "b", "a"), key("2"))
	same(t, "of the first", persons(t, s, "acme", "a"), "1 anonymous, 2 mentioned")
	same(t, "a mention holds nothing", claim(t, s, "acme", key("5"), "", "new"), key("5"))
	same(t, "of the new one", persons(t, s, "acme", "new"), "5 anonymous, 1 mentioned")
	same(t, "one address in two spellings", claim(t, s, "acme", key("6"), "", "twice", "twice"), key("6"))
	same(t, "of that", persons(t, s, "acme", "twice"), "6 anonymous")
}

func linkUpgrade(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "anna", "a")
	claim(t, s, "acme", key("2"), "", "a", "b")
	same(t, "mentioned", persons(t, s, "acme", "b"), "1 mentioned")
	claim(t, s, "acme", key("3"), "anna", "b")
	same(t, "held", persons(t, s, "acme", "b"), "1 held")
	claim(t, s, "acme", key("4"), "", "a", "b")
	same(t, "still held", persons(t, s, "acme", "b"), "1 held")
}

func nothingNamed(t *testing.T, u Subject) {
	same(t, "a new person", claim(t, u.Store, "acme", key("1"), ""), key("1"))
	same(t, "and another", claim(t, u.Store, "acme", key("2"), ""), key("2"))
}

func tenantsApart(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "anna", "a")
	same(t, "same names, other tenant", claim(t, s, "acme2", key("2"), "anna", "a"), key("2"))
	same(t, "same address, other tenant", claim(t, s, "acm", key("3"), "", "a"), key("3"))
	_, err := s.PersonKey(t.Context(), "acme2", "key-1")
	fails(t, "another tenant's key", err, commands.ErrKeyAbsent)
	same(t, "of the address", persons(t, s, "acme", "a"), "1 held")
	same(t, "of the id", recipient(t, s, "acme", "anna"), "key-1")
}

func badClaims(t *testing.T, u Subject) {
	s := u.Store
	for what, c := range map[string]commands.PersonClaim{
		"without a candidate": claimOf(commands.PersonKey{}, "", "a"),
		"with an empty hash":  {Addresses: [][]byte{{}}, Candidate: key("1"), At: at},
	} {
		if _, err := s.ClaimPerson(t.Context(), "acme", c); err == nil {
			t.Errorf("a claim %s was accepted", what)
		}
	}
	claim(t, s, "acme", key("1"), "", "a")
	if _, err := s.ClaimPerson(t.Context(), "acme", claimOf(key("1"), "", "b")); err == nil {
		t.Error("a key id was made twice")
	}
	same(t, "after the refusal", persons(t, s, "acme", "b"), "")
}

func erased(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "anna", "a")
	claim(t, s, "acme", key("2"), "bruno", "b")
	for range 2 { // and again
		if err := u.Erase(t.Context(), "acme", "key-1"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "the key", err, commands.ErrKeyErased)
	if _, err := s.ClaimPerson(t.Context(), "acme", claimOf(key("1"), "", "x")); err == nil {
		t.Error("an erased key id was made again")
	}
	got, err := s.PersonKey(t.Context(), "acme", "key-2")
	fails(t, "another person", err, nil)
	same(t, "another person", got, key("2"))
	_, err = s.PersonKey(t.Context(), "acme", "key-9")
	fails(t, "a key that never was", err, commands.ErrKeyAbsent)
	fails(t, "erasing a key that never was", u.Erase(t.Context(), "acme", "key-9"), commands.ErrKeyAbsent)
}

func erasedAddress(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("1"), "anna", "a", "shared")
	claim(t, s, "acme", key("2"), "bruno", "shared")
	claim(t, s, "acme", key("3"), "", "b", "c")
	for _, k := range []string{"key-1", "key-3"} {
		if err := u.Erase(t.Context(), "acme", k); err != nil {
			t.Fatal(err)
		}
	}
	for _, address := range []string{"a", "b", "c"} {
		same(t, "of "+address, persons(t, s, "acme", address), "")
	}
	same(t, "of the shared one", persons(t, s, "acme", "shared"), "2 held")
	same(t, "of the id", recipient(t, s, "acme", "anna"), "")
	same(t, "the shared one's only holder", claim(t, s, "acme", key("4"), "", "shared"), key("2"))
	same(t, "the next owner", claim(t, s, "acme", key("5"), "", "b"), key("5"))
	same(t, "the id is a new person's", claim(t, s, "acme", key("6"), "anna", "a"), key("6"))
	_, err := s.PersonKey(t.Context(), "acme", "key-1")
	fails(t, "the erased key", err, commands.ErrKeyErased)
	// An erasure anew does not touch the next owner.
	if err := u.Erase(t.Context(), "acme", "key-1"); err != nil {
		t.Fatal(err)
	}
	same(t, "of the id", recipient(t, s, "acme", "anna"), "key-6")
	same(t, "of the address", persons(t, s, "acme", "a"), "6 held")
}

// A switchboard's number has more persons than are returned; a claim does not read all.
func manyPersons(t *testing.T, u Subject) {
	const many = commands.MaxAddressPersons + 1
	var next atomic.Int64
	race(func(int) {
		for {
			i := next.Add(1)
			if i > many {
				return
			}
			name := fmt.Sprintf("%04d", i)
			if _, err := u.Store.ClaimPerson(t.Context(), "acme", claimOf(key(name), name, "board")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	claim(t, u.Store, "acme", key("x"), "", "board")
	links, err := u.Store.AddressPersons(t.Context(), "acme", hash("board")[0])
	fails(t, "reading", err, nil)
	same(t, "at most", len(links), commands.MaxAddressPersons)
	same(t, "the first", links[0].KeyID, "key-x")
	same(t, "the last", links[len(links)-1].KeyID, fmt.Sprintf("key-%04d", commands.MaxAddressPersons-1))
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
	race(func(i int) {
		var err error
		got[i], err = u.Store.ClaimPerson(t.Context(), "acme", claimOf(key(fmt.Sprint(i)), "", "a", fmt.Sprint(i%8)))
		fails(t, "claiming", err, nil)
	})
	for i := range got {
		same(t, "the person", got[i], got[0])
	}
	name := strings.TrimPrefix(got[0].KeyID, "key-")
	same(t, "of the address", persons(t, u.Store, "acme", "a"), name+" anonymous")
	for i := range 8 {
		same(t, "of a mentioned one", persons(t, u.Store, "acme", fmt.Sprint(i)), name+" mentioned")
	}
}

func oneRecipientManyClaims(t *testing.T, u Subject) {
	var got [racers]commands.PersonKey
	race(func(i int) {
		var err error
		got[i], err = u.Store.ClaimPerson(t.Context(), "acme", claimOf(key(fmt.Sprint(i)), "anna", "a", fmt.Sprint(i)))
		fails(t, "claiming", err, nil)
	})
	for i := range got {
		same(t, "the person", got[i], got[0])
		same(t, "of an address", persons(t, u.Store, "acme", fmt.Sprint(i)), strings.TrimPrefix(got[0].KeyID, "key-")+" held")
	}
}

// Claims that share addresses in a ring, half of them in the other order: each address
// gets one anonymous person, and a claim goes to its first address's.
func overlappingClaims(t *testing.T, u Subject) {
	var got [racers]commands.PersonKey
	first := func(i int) int { return (i + i%2) % racers }
	race(func(i int) {
		names := []string{fmt.Sprint(i), fmt.Sprint((i + 1) % racers)}
		if i%2 == 1 {
			slices.Reverse(names)
		}
		var err error
		got[i], err = u.Store.ClaimPerson(t.Context(), "acme", claimOf(key(fmt.Sprint(i)), "", names...))
		fails(t, "claiming", err, nil)
	})
	for i := range got {
		links, err := u.Store.AddressPersons(t.Context(), "acme", hash(fmt.Sprint(first(i)))[0])
		fails(t, "finding", err, nil)
		if len(links) == 0 || links[0].Kind != commands.LinkAnonymous || links[0].KeyID != got[i].KeyID {
			t.Errorf("claim %d went to %s, its address is linked to %+v", i, got[i].KeyID, links)
		}
		for _, l := range links[min(1, len(links)):] {
			if l.Kind != commands.LinkMentioned {
				t.Errorf("a second person of address %d: %+v", first(i), l)
			}
		}
	}
}

// An erasure comes before a claim or after it: no link leads to an erased person, and no
// claim is lost.
func erasureRace(t *testing.T, u Subject) {
	s := u.Store
	claim(t, s, "acme", key("old"), "anna", "a")
	var erased error
	race(func(i int) {
		if i == racers/2 {
			erased = u.Erase(t.Context(), "acme", "key-old")
			return
		}
		name := "anna"
		if i%2 == 0 {
			name = ""
		}
		_, err := s.ClaimPerson(t.Context(), "acme", claimOf(key(fmt.Sprint(i)), name, "a", fmt.Sprint("m", i)))
		fails(t, "claiming", err, nil)
	})
	fails(t, "erasing", erased, nil)
	addresses := []string{"a"}
	for i := range racers {
		addresses = append(addresses, fmt.Sprint("m", i))
	}
	for _, address := range addresses {
		links, err := s.AddressPersons(t.Context(), "acme", hash(address)[0])
		fails(t, "finding", err, nil)
		for _, l := range links {
			if l.KeyID == "key-old" {
				t.Errorf("address %s is linked to an erased person", address)
			}
		}
	}
	if recipient(t, s, "acme", "anna") == "key-old" {
		t.Error("the recipient id is an erased person's")
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
	claim(t, u.Store, "acme", key("1"), "anna", "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := u.Store.PersonKey(ctx, "acme", "key-1")
	if err == nil || errors.Is(err, commands.ErrKeyErased) || errors.Is(err, commands.ErrKeyAbsent) {
		t.Errorf("got %v", err)
	}
	if links, err := u.Store.AddressPersons(ctx, "acme", hash("a")[0]); err == nil || links != nil {
		t.Errorf("got %v", err)
	}
	if link, err := u.Store.RecipientPerson(ctx, "acme", []byte("recipient anna")); err == nil || link != nil {
		t.Errorf("got %v", err)
	}
}

func reopened(t *testing.T, u Subject) {
	ctx := t.Context()
	claim(t, u.Store, "acme", key("1"), "anna", "a", "b")
	claim(t, u.Store, "acme", key("2"), "", "c", "a")
	claim(t, u.Store, "acme", key("3"), "", "d")
	route := commands.RouteKey{ID: "r", Route: "sms", Wrapped: []byte("w"), ExpiresUnix: 100}
	_, err1 := u.Store.CreateTenantKey(ctx, "acme", []byte("tenant"))
	_, err2 := u.Store.Secret(ctx, "s", []byte("secret"))
	_, err3 := u.Store.CreateRouteKey(ctx, route)
	if err := errors.Join(err1, err2, err3, u.Erase(ctx, "acme", "key-3")); err != nil {
		t.Fatal(err)
	}
	s := u.Reopen(t)
	same(t, "person", claim(t, s, "acme", key("4"), "anna"), key("1"))
	same(t, "links", persons(t, s, "acme", "a"), "1 held, 2 mentioned")
	same(t, "links", persons(t, s, "acme", "c"), "2 anonymous")
	same(t, "links of an erased one", persons(t, s, "acme", "d"), "")
	_, err := s.PersonKey(ctx, "acme", "key-3")
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
