package access

import (
	"testing"

	"pgregory.net/rapid"

	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/tenant"
)

// TestARevokedKeyNeverOpensAgain applies the events of some keys in any order, any
// number of times.
func TestARevokedKeyNeverOpensAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		var digests []digest
		var events []tenant.Event
		for i := range 3 {
			d := digestOf(string(rune('a' + i)))
			id := string(rune('a' + i))
			digests = append(digests, d)
			events = append(events, tenant.KeyCreated{KeyID: id, Hash: d.String()}, tenant.KeyRevoked{KeyID: id, Hash: d.String()})
		}
		created, revoked := map[int]bool{}, map[int]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			i := rapid.IntRange(0, len(events)-1).Draw(t, "event")
			if err := x.apply("acme", events[i]); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				created[i/2] = true
			} else {
				revoked[i/2] = true
			}
			for k, d := range digests {
				h, opens := x.find(d)
				if want := created[k] && !revoked[k]; opens != want || (opens && h.tenant != "acme") {
					t.Fatalf("key %d opens: %v, want %v", k, opens, want)
				}
			}
		}
	})
}

func TestAnEventWithoutAHashIsAnError(t *testing.T) {
	for _, hash := range []string{"", "zz", "abcd"} {
		if err := newIndex().apply("acme", tenant.KeyCreated{KeyID: "k", Hash: hash}); err == nil {
			t.Errorf("%d characters were taken for a SHA-256", len(hash))
		}
	}
}
