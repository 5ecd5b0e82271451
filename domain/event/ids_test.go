package event_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
)

func TestUUIDv5IsThatOfTheRFC(t *testing.T) {
	// RFC 9562, appendix A.4.
	if got := event.UUIDv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com"); got != "2ed6657d-e927-568b-95e1-2665a8aea6a2" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		ns := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "namespace"))
		name := rapid.String().Draw(t, "name")
		if got, want := event.UUIDv5(ns.String(), name), uuid.NewSHA1(ns, []byte(name)).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestIDsBelongToOneExecution(t *testing.T) {
	one, other := uuid.NewString(), uuid.NewString()
	a := event.IDs(one, 3)
	if again := event.IDs(one, 3); !slices.Equal(a, again) {
		t.Error("a retry makes other ids")
	}
	all := append(a, event.IDs(other, 3)...)
	slices.Sort(all)
	if len(slices.Compact(all)) != 6 {
		t.Error("two events share an id")
	}
	if _, err := uuid.Parse(a[0]); err != nil {
		t.Error(err)
	}
	if id := event.UUIDv5("not a uuid", "x"); uuid.Validate(id) != nil || id == event.UUIDv5("nor this", "x") {
		t.Error(id)
	}
}
