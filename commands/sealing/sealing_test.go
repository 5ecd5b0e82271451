package sealing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"recapito/adapters/keystore"
	"recapito/commands"
	"recapito/commands/sealing"
	"recapito/domain/address"
	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/event"
	"recapito/domain/personal"
)

const number = "+393331234567"

var master = bytes.Repeat([]byte{7}, sealing.MasterKeyBytes)

// world is a Sealing over a real key store, with a clock of its own.
type world struct {
	*sealing.Sealing
	store *keystore.Store
	now   *clock
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newWorld(t testing.TB) world {
	t.Helper()
	store, err := keystore.Open(t.TempDir(), keystore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	now := &clock{at: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	return world{over(t, store, master, now), store, now}
}

func over(t testing.TB, store commands.KeyStore, master []byte, now *clock) *sealing.Sealing {
	t.Helper()
	s, err := sealing.New(store, master, sealing.Options{Now: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// brokenStore is a key store that does not answer.
type brokenStore struct {
	commands.KeyStore
	err error
}

func (b brokenStore) PersonKey(context.Context, string, string) (commands.PersonKey, error) {
	return commands.PersonKey{}, b.err
}

// sms are numbers as a request's addresses.
func sms(values ...string) []address.Address {
	var all []address.Address
	for _, v := range values {
		all = append(all, address.Address{Kind: "phone", Value: v, Identity: v})
	}
	return all
}

func (w world) person(t testing.TB, recipient string, addresses ...string) personal.Ref {
	t.Helper()
	ref, err := w.Resolve(t.Context(), "acme", recipient, sms(addresses...))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestValueComesBackAndShowsNothingSealed(t *testing.T) {
	w := newWorld(t)
	ref := w.person(t, "", number)
	rapid.Check(t, func(rt *rapid.T) {
		clear := rapid.SliceOf(rapid.Byte()).Draw(rt, "clear")
		associated := rapid.SliceOf(rapid.Byte()).Draw(rt, "associated")
		sealed, err := w.Seal(t.Context(), "acme", ref, associated, clear)
		if err != nil {
			rt.Fatal(err)
		}
		got, gone, err := w.Open(t.Context(), "acme", sealed, associated)
		if err != nil || gone || !bytes.Equal(got, clear) {
			rt.Fatalf("opened: erased %v, %v", gone, err)
		}
		if len(clear) >= 4 {
			for _, part := range [][]byte{sealed.Nonce, sealed.Ciphertext, sealed.Commitment} {
				if bytes.Contains(part, clear) {
					rt.Fatal("the value stands in its sealed form")
				}
			}
		}
		again, err := w.Seal(t.Context(), "acme", ref, associated, clear)
		if err != nil || bytes.Equal(again.Ciphertext, sealed.Ciphertext) || bytes.Equal(again.Commitment, sealed.Commitment) {
			rt.Fatal("the same value seals to the same bytes: equal values could be told")
		}
	})
}

func TestCommitmentProvesOneFieldWithoutTheKey(t *testing.T) {
	w := newWorld(t)
	place := []byte("notification-1\n/to")
	sealed, err := w.Seal(t.Context(), "acme", w.person(t, "", number), place, []byte(number))
	if err != nil {
		t.Fatal(err)
	}
	clear, r, gone, err := w.Reveal(t.Context(), "acme", sealed, place)
	if err != nil || gone || string(clear) != number {
		t.Fatalf("revealing: %v", err)
	}
	if !sealed.Commits(r, place, clear) {
		t.Error("the commitment does not verify")
	}
	if sealed.Commits(r, place, []byte("+393331234568")) || sealed.Commits(r, []byte("elsewhere"), clear) ||
		sealed.Commits(make([]byte, 32), place, clear) || sealed.Commits(nil, place, clear) {
		t.Error("the commitment verifies what is not so")
	}
}

func TestEveryChangeIsSeen(t *testing.T) {
	w := newWorld(t)
	ref, other := w.person(t, "", number), w.person(t, "", "+39333000")
	place := []byte("notification-1\n/to")
	seal := func() personal.Sealed {
		s, err := w.Seal(t.Context(), "acme", ref, place, []byte(number))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, change := range map[string]func(*personal.Sealed){
		"ciphertext":   func(s *personal.Sealed) { s.Ciphertext[40] ^= 1 },
		"cut":          func(s *personal.Sealed) { s.Ciphertext = s.Ciphertext[:20] },
		"no ciphertxt": func(s *personal.Sealed) { s.Ciphertext = nil },
		"nonce":        func(s *personal.Sealed) { s.Nonce[0] ^= 1 },
		"short nonce":  func(s *personal.Sealed) { s.Nonce = s.Nonce[:11] },
		"commitment":   func(s *personal.Sealed) { s.Commitment[0] ^= 1 },
		"person":       func(s *personal.Sealed) { s.Person = other.Person },
		"whole ref":    func(s *personal.Sealed) { s.Ref = other },
	} {
		s := seal()
		change(&s)
		if _, gone, err := w.Open(t.Context(), "acme", s, place); !errors.Is(err, sealing.ErrDamaged) || gone {
			t.Errorf("%s: erased %v, %v", name, gone, err)
		}
	}
	if _, _, err := w.Open(t.Context(), "acme", seal(), []byte("notification-2\n/to")); !errors.Is(err, sealing.ErrDamaged) {
		t.Errorf("another stream: %v", err)
	}
	if _, _, err := w.Open(t.Context(), "other", seal(), place); !errors.Is(err, commands.ErrKeyAbsent) {
		t.Errorf("another tenant: %v", err)
	}
	foreign := over(t, w.store, bytes.Repeat([]byte{8}, 32), w.now)
	if _, gone, err := foreign.Open(t.Context(), "acme", seal(), place); !errors.Is(err, sealing.ErrDamaged) || gone {
		t.Errorf("another master key: erased %v, %v", gone, err)
	}
}

func TestErasedOpensAsErasedOnceTheLeaseIsOver(t *testing.T) {
	w := newWorld(t)
	ref := w.person(t, "cust-42", number)
	place := []byte("s\n/to")
	sealed, err := w.Seal(t.Context(), "acme", ref, place, []byte(number))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.MarkErased(t.Context(), "acme", ref.Key); err != nil {
		t.Fatal(err)
	}
	w.now.pass(sealing.Lease)
	if clear, gone, err := w.Open(t.Context(), "acme", sealed, place); err != nil || !gone || clear != nil {
		t.Errorf("erased %v, %v", gone, err)
	}
	if _, err := w.Seal(t.Context(), "acme", ref, place, []byte(number)); !errors.Is(err, commands.ErrKeyErased) {
		t.Errorf("sealing: %v", err)
	}
	if _, err := w.RequestHMAC(t.Context(), "acme", ref, []byte("{}")); !errors.Is(err, commands.ErrKeyErased) {
		t.Errorf("request: %v", err)
	}
	if next := w.person(t, "cust-42"); next.Person == ref.Person || next.Key == ref.Key {
		t.Error("the recipient id is still the erased person's")
	}
	if links, err := w.PersonsAt(t.Context(), "acme", sms(number)[0]); err != nil || len(links) != 0 {
		t.Errorf("the erased person's number: %v, %v", links, err)
	}
}

func TestKeyStoreThatDoesNotAnswerIsNeverErased(t *testing.T) {
	w := newWorld(t)
	ref := w.person(t, "", number)
	place := []byte("s\n/to")
	sealed, err := w.Seal(t.Context(), "acme", ref, place, []byte(number))
	if err != nil {
		t.Fatal(err)
	}
	for _, failure := range []error{errors.New("down"), context.DeadlineExceeded, commands.ErrKeyAbsent} {
		s := over(t, brokenStore{w.store, failure}, master, w.now)
		if _, gone, err := s.Open(t.Context(), "acme", sealed, place); !errors.Is(err, failure) || gone {
			t.Errorf("erased %v, %v", gone, err)
		}
	}
	// A lease bridges a short failure, and no longer one.
	w.now.pass(sealing.Lease - 1)
	if _, _, err := w.Open(t.Context(), "acme", sealed, place); err != nil {
		t.Error(err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Open(t.Context(), "acme", sealed, place); err != nil {
		t.Errorf("within the lease: %v", err)
	}
	w.now.pass(1)
	if _, gone, err := w.Open(t.Context(), "acme", sealed, place); !errors.Is(err, keystore.ErrClosed) || gone {
		t.Errorf("after the lease: erased %v, %v", gone, err)
	}
}

func TestPersonIsKnownAgain(t *testing.T) {
	w := newWorld(t)
	anna := w.person(t, "cust-42", number, "+39333999")
	if again := w.person(t, "", number); again != anna {
		t.Error("not known by the number")
	}
	if again := w.person(t, "cust-42"); again != anna {
		t.Error("not known by the recipient id")
	}
	if w.person(t, "", "+39333000") == anna {
		t.Error("someone else is the same person")
	}
	if w.person(t, number) == anna {
		t.Error("a recipient id is taken for an address")
	}
	if again := w.person(t, "cust-42", "+39333000"); again != anna {
		t.Error("a recipient became the person of an address")
	}
	if _, err := w.Resolve(t.Context(), "acme", "", nil); !errors.Is(err, sealing.ErrNobody) {
		t.Errorf("nobody: %v", err)
	}
	url := address.Address{Kind: "url", Value: "https://example.com/"}
	first, err1 := w.Resolve(t.Context(), "acme", "", []address.Address{url})
	second, err2 := w.Resolve(t.Context(), "acme", "", []address.Address{url})
	if err := errors.Join(err1, err2); err != nil || first == second {
		t.Errorf("an address that identifies nobody found a person: %v", err)
	}
	if again, err := w.Resolve(t.Context(), "acme", "", append([]address.Address{url}, sms(number)...)); err != nil || again != anna {
		t.Errorf("the first identifying address does not decide: %v", err)
	}
	mail := address.Address{Kind: "email", Value: number, Identity: number}
	if links, err := w.PersonsAt(t.Context(), "acme", mail); err != nil || len(links) != 0 {
		t.Errorf("same value of another kind: %v, %v", links, err)
	}
	if links, err := w.PersonsAt(t.Context(), "acme", url); err != nil || len(links) != 0 {
		t.Errorf("an address that identifies nobody: %v, %v", links, err)
	}
	if links, err := w.PersonsAt(t.Context(), "other", sms(number)[0]); err != nil || len(links) != 0 {
		t.Errorf("another tenant: %v, %v", links, err)
	}
	if _, found, err := w.PersonOf(t.Context(), "other", "cust-42"); err != nil || found {
		t.Errorf("another tenant: %v, %v", found, err)
	}
	if link, found, err := w.PersonOf(t.Context(), "acme", "cust-42"); err != nil || !found || link.PersonID != anna.Person || link.KeyID != anna.Key ||
		link.From != w.now.Now().Unix() {
		t.Errorf("finding: %+v, %v, %v", link, found, err)
	}
	if links, err := w.PersonsAt(t.Context(), "acme", sms("+39333999")[0]); err != nil || len(links) != 1 || links[0].PersonID != anna.Person {
		t.Errorf("finding: %v, %v", links, err)
	}
	// Another process over the same store knows the same.
	other := over(t, w.store, master, w.now)
	if ref, err := other.Resolve(t.Context(), "acme", "", sms(number)); err != nil || ref != anna {
		t.Errorf("another process: %v", err)
	}
}

func TestNewAddressClaimedByManyIsOnePerson(t *testing.T) {
	w := newWorld(t)
	const many = 64
	var got [many]personal.Ref
	var done sync.WaitGroup
	start := make(chan struct{})
	for i := range many {
		done.Go(func() {
			<-start
			s := w.Sealing
			if i%2 == 1 { // from another process
				s = over(t, w.store, master, w.now)
			}
			ref, err := s.Resolve(t.Context(), "acme", "", sms(number))
			if err != nil {
				t.Error(err)
			}
			got[i] = ref
			if _, err := s.Seal(t.Context(), "acme", ref, nil, []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	done.Wait()
	for _, ref := range got {
		if ref != got[0] || ref.Person == "" || ref.Key == "" || ref.Person == ref.Key {
			t.Fatal("one address became several persons")
		}
	}
}

func TestRequestHMACTellsRequestsAndPersonsApart(t *testing.T) {
	w := newWorld(t)
	anna, bruno := w.person(t, "", "1"), w.person(t, "", "2")
	mac := func(ref personal.Ref, request string) string {
		m, err := w.RequestHMAC(t.Context(), "acme", ref, []byte(request))
		if err != nil || len(m) != 32 {
			t.Fatalf("%d bytes, %v", len(m), err)
		}
		return string(m)
	}
	first, again := mac(anna, "{}"), mac(anna, "{}")
	if first != again || first == mac(anna, "[]") || first == mac(bruno, "{}") {
		t.Error("the HMAC does not tell what it should")
	}
	if _, err := w.RequestHMAC(t.Context(), "acme", personal.Ref{Person: bruno.Person, Key: anna.Key}, nil); !errors.Is(err, sealing.ErrDamaged) {
		t.Errorf("a forged reference: %v", err)
	}
}

func TestTokensFollowTheRouteKeys(t *testing.T) {
	w := newWorld(t)
	ctx, start := t.Context(), w.now.Now()
	token, err := w.DestinationToken(ctx, "smsc", number, start)
	if err != nil || strings.Contains(token.Token+token.Key, "333") {
		t.Fatal(err)
	}
	if again, err := w.DestinationToken(ctx, "smsc", number, start); err != nil || again != token {
		t.Error("the same destination has two tokens")
	}
	for _, other := range [][2]string{{"smsc", "+39333"}, {"smsc2", number}, {"smsc" + number[:2], number[2:]}} {
		if got, err := w.DestinationToken(ctx, other[0], other[1], start); err != nil || got.Token == token.Token {
			t.Error("another destination or route has the same token")
		}
	}
	other := over(t, w.store, master, w.now)
	if got, err := other.DestinationToken(ctx, "smsc", number, start); err != nil || got != token {
		t.Error("another process makes another token")
	}

	finds := func(s *sealing.Sealing, key string) bool {
		tokens, err := s.DestinationTokens(ctx, "smsc", number, w.now.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range tokens {
			if k.Key == key {
				return true
			}
		}
		return false
	}
	if !finds(w.Sealing, token.Key) || !finds(other, token.Key) {
		t.Error("the current key is not looked up")
	}
	w.now.pass(sealing.RouteKeyPeriod)
	second, err := w.DestinationToken(ctx, "smsc", number, w.now.Now())
	if err != nil || second.Token == token.Token || second.Key == token.Key {
		t.Errorf("the key did not rotate: %v", err)
	}
	// The other process learns of the new key at once, though it holds the older list.
	if !finds(other, second.Key) || !finds(other, token.Key) {
		t.Error("a key not expired is not looked up")
	}
	w.now.pass(sealing.OrphanWindow)
	if finds(w.Sealing, token.Key) || !finds(w.Sealing, second.Key) {
		t.Error("the keys do not expire as they should")
	}
	if _, err := w.DestinationToken(ctx, "smsc", number, start); !errors.Is(err, sealing.ErrRouteKeyExpired) {
		t.Errorf("a token for a time long past: %v", err)
	}
}

func TestSecretStands(t *testing.T) {
	w := newWorld(t)
	a, err1 := w.Secret(t.Context(), "cursor")
	b, err2 := over(t, w.store, master, w.now).Secret(t.Context(), "cursor")
	c, err3 := w.Secret(t.Context(), "other")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) || bytes.Equal(a, c) || len(a) != 32 {
		t.Error("a secret changed, or two are the same")
	}
}

func TestBadMasterKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := sealing.New(w.store, make([]byte, n), sealing.Options{}); err == nil {
			t.Errorf("%d bytes: taken", n)
		}
	}
	if _, err := sealing.New(nil, master, sealing.Options{}); err == nil {
		t.Error("no store: taken")
	}
}

func TestAddressesDoNotPrint(t *testing.T) {
	if out := fmt.Sprintf("%v %+v %#v %s", sms(number), sms(number)[0], sms(number), sms(number)); strings.Contains(out, "333") {
		t.Error("an address prints its value")
	}
}

type asked struct {
	To     personal.Value            `json:"to"`
	Fields map[string]personal.Value `json:"fields"`
}

// From the event to its bytes and back through the real key store.
func TestEventsAreSealedEndToEnd(t *testing.T) {
	w := newWorld(t)
	codec, err := event.NewCodec(event.Define[asked]("Asked"))
	if err != nil {
		t.Fatal(err)
	}
	ref := w.person(t, "", number)
	in := asked{To: personal.New(ref, number), Fields: map[string]personal.Value{"name": personal.New(ref, "Anna Rossi")}}
	name, data, err := codec.Encode(t.Context(), w, "acme", "notification-1", in)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) || strings.Contains(string(data), number[1:]) || strings.Contains(string(data), "Anna") {
		t.Fatal("not sealed")
	}
	r := event.Recorded{Stream: "notification-1", Type: name, Data: data}
	out, err := codec.Decode(t.Context(), w, "acme", r)
	if diff := cmp.Diff(any(in), out); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	r.Stream = "notification-2"
	if _, err := codec.Decode(t.Context(), w, "acme", r); !errors.Is(err, sealing.ErrDamaged) || strings.Contains(err.Error(), "333") {
		t.Errorf("in another stream: %v", err)
	}
	r.Stream = "notification-1"
	if err := w.store.MarkErased(t.Context(), "acme", ref.Key); err != nil {
		t.Fatal(err)
	}
	w.now.pass(sealing.Lease)
	if out, err = codec.Decode(t.Context(), w, "acme", r); err != nil || !out.(asked).To.IsErased() || !out.(asked).Fields["name"].IsErased() {
		t.Errorf("after erasure: %v", err)
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = codec.Decode(t.Context(), w, "acme", r); err == nil {
		t.Error("a closed key store answered")
	}
}

func BenchmarkSealOpen(b *testing.B) {
	w := newWorld(b)
	ref := w.person(b, "", number)
	place := []byte("notification-0192f0c4-0000-7000-8000-000000000000\n/to/sms/0")
	for b.Loop() {
		sealed, err := w.Seal(b.Context(), "acme", ref, place, []byte(number))
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := w.Open(b.Context(), "acme", sealed, place); err != nil {
			b.Fatal(err)
		}
	}
}
