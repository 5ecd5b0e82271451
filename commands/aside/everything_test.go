package aside_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"recapito/commands/access"
	"recapito/commands/aside"
	"recapito/commands/commandstest"
	"recapito/commands/deadlines"
	"recapito/commands/delivery"
	"recapito/commands/receipts"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/projections"
)

const everythingPatience = 20 * time.Second

// TestEverythingStoredIsSurvived stores events of every type as they are and changed in every
// way, on streams of every kind, and wants each consumer to get to what comes after them.
// RECAPITO_EVERYTHING_SEED replays a run.
func TestEverythingStoredIsSurvived(t *testing.T) {
	seed := uint64(1)
	if os.Getenv("RECAPITO_TEST_FULL") != "" {
		seed = rand.Uint64()
	}
	if text := os.Getenv("RECAPITO_EVERYTHING_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RECAPITO_EVERYTHING_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	b := commandstest.New(t)
	good := b.Submitted("good")
	for range 3000 {
		junk(t, b, random)
	}
	last := b.Submitted("last")

	list := aside.New(b.Store, commandstest.Quiet, time.Now)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	manager := delivery.NewManager(b.N.Delivery(b.Deadlines, &nowhere{}))
	defer manager.Close()
	managed := list.Of("delivery", manager.OnEvent)
	runner := &delivery.Runner{Name: "delivery", Store: b.Store, Filter: manager.Filter(), Log: commandstest.Quiet, Handle: func(ctx context.Context, r event.Recorded) error {
		return managed.Take(ctx, r, func() error { return manager.OnEvent(ctx, r) })
	}}
	receiving := b.N.Receiving()
	receiving.Aside = list.Of("matcher", nil)
	matcher := receipts.NewMatcher(receiving)
	keys := access.New(b.Ledger, access.Options{Log: commandstest.Quiet, Aside: list})
	fired := make(chan string, 10_000)
	holder := deadlines.New(b.Store, b.Ledger.Codec, time.Now, commandstest.Quiet, func(_ context.Context, d deadline.DeadlineSet) error {
		select {
		case fired <- d.Notification:
		default:
		}
		return nil
	})
	holder.Aside = list.Of("deadlines", nil)
	for what, run := range map[string]func(context.Context) error{
		"delivery": runner.Run, "matcher": matcher.Run, "deadlines": holder.Run, "keys": func(ctx context.Context) error { keys.Run(ctx); return nil },
	} {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s ended: %v", what, err)
			}
		})
	}
	created, err := keys.Create(t.Context(), commandstest.Origin, "fresh", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Set(t.Context(), deadline.DeadlineSet{Notification: "sentinel", Attempt: 1, At: time.Now()}); err != nil {
		t.Fatal(err)
	}

	until(t, "delivery plans what came last", func() bool {
		for _, id := range []string{good, last} {
			if len(b.Store.Stream(notification.Stream(id))) < 3 {
				return false
			}
		}
		return true
	})
	until(t, "a key that is made now opens", func() bool {
		p, err := keys.Authenticate(t.Context(), created.Text)
		return err == nil && p.Tenant == "fresh"
	})
	until(t, "a deadline fires", func() bool {
		for {
			select {
			case id := <-fired:
				if id == "sentinel" {
					return true
				}
			default:
				return false
			}
		}
	})
	for consumer, stream := range map[string]string{"delivery": "notification-sentinel", "matcher": "receipt-main-sentinel", "keys": "tenant-sentinel"} {
		sentinel := stored(t, b.Store, stream, map[string]string{"delivery": "NotificationSent", "matcher": "ReceiptRecorded", "keys": "TenantKeyCreated"}[consumer], "[]")
		until(t, consumer+" sets what comes last aside", func() bool {
			entries, err := list.Entries(t.Context())
			return err == nil && slices.ContainsFunc(entries, func(e aside.Entry) bool { return e.Consumer == consumer && e.Position == sentinel.Position })
		})
	}
	entries, err := list.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]int{}
	for _, e := range entries {
		by[e.Consumer]++
	}
	t.Logf("set aside: %v", by)
	for _, consumer := range []string{"delivery", "matcher", "deadlines", "keys"} {
		if by[consumer] == 0 {
			t.Errorf("nothing is set aside by %s: the junk is too good", consumer)
		}
	}
	// The projections make rows of the rest, the same ones in any batches.
	var ledger []projections.LedgerEvent
	for _, r := range b.Store.All() {
		if catalogue.IsLedger(r.Stream) {
			ledger = append(ledger, projections.LedgerEvent{Recorded: r, Seq: uint64(len(ledger))})
		}
	}
	for _, p := range projections.All(b.Ledger.Codec, nil) {
		rows, unreadable := p.Rows(ledger)
		if len(rows) == 0 || len(unreadable) == len(ledger) {
			t.Errorf("%s makes %d rows and sets %d of %d aside", p.Name(), len(rows), len(unreadable), len(ledger))
		}
		n := 0
		for i := range ledger {
			_, one := p.Rows(ledger[i : i+1])
			n += len(one)
		}
		if n != len(unreadable) {
			t.Errorf("%s sets %d aside, one by one %d", p.Name(), len(unreadable), n)
		}
	}
	edr, states := projections.NewEDRFold(b.Ledger.Codec), projections.NewNotificationFold(b.Ledger.Codec)
	for _, e := range ledger {
		if err := errors.Join(edr.Add(e), states.Add(e)); err != nil {
			t.Fatal(err)
		}
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(everythingPatience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not come to it that %s", what)
		}
	}
}

type nowhere struct{}

func (nowhere) Dispatch(context.Context, delivery.DispatchMessage, string, string) error { return nil }

// junk stores an event of some type, on some stream.
func junk(t *testing.T, b *commandstest.Bench, random *rand.Rand) {
	t.Helper()
	modules := catalogue.Modules()
	of := modules[random.IntN(len(modules))]
	samples := of.Samples()
	name, data, err := b.Ledger.Codec.Encode(t.Context(), b.Ledger.Sealer, "acme", of.Stream, samples[random.IntN(len(samples))])
	if err != nil {
		t.Fatal(err)
	}
	stream := of.Stream
	switch random.IntN(4) {
	case 0:
		other := modules[random.IntN(len(modules))]
		stream = []string{other.Stream, other.Prefix, other.Prefix + "x", "anything-1", "anything"}[random.IntN(5)]
	case 1:
		stream = of.Prefix + fmt.Sprintf("n-%d", random.IntN(20))
	}
	if stream == "mark-ledger" || of.Operational && of.Prefix != deadline.StreamPrefix {
		stream = "anything-2" // what only one consumer keeps for itself is not the ledger's
	}
	metadata := []string{`{"tenant":"acme","actor":"key:x","occurred_at":"2026-03-01T12:00:00Z","recorded_at":"2026-03-01T12:00:00Z"}`, ``, `{}`, `[]`, `{"tenant":7}`, `{"tenant":`}[max(0, random.IntN(12)-6)]
	if random.IntN(3) > 0 {
		data = mutated(random, data)
	}
	if random.IntN(20) == 0 {
		name += "9"
	}
	_, err = b.Store.Append(t.Context(), stream, event.Any(), []event.New{{ID: uuid.NewString(), Type: name, Data: data, Metadata: []byte(metadata)}})
	if err != nil && !errors.Is(err, event.ErrInvalid) {
		t.Fatal(err)
	}
}

// mutated changes JSON at one place, or what it is as such.
func mutated(random *rand.Rand, data []byte) []byte {
	switch random.IntN(12) {
	case 0:
		return data[:random.IntN(len(data))]
	case 1:
		return []byte([]string{`null`, `[]`, `""`, `0`, `{}`, "\x00\xff", `{"a":`, ``}[random.IntN(8)])
	}
	var v any
	if json.Unmarshal(data, &v) != nil {
		return data
	}
	changed, err := json.Marshal(change(random, v))
	if err != nil {
		return data
	}
	return changed
}

func change(random *rand.Rand, v any) any {
	values := []any{nil, -1, 0, 1 << 40, 1e300, "", "x", "9999-12-31T23:59:59Z", true, []any{}, map[string]any{}, []any{nil}, 65536, "2026-02-30"}
	switch of := v.(type) {
	case map[string]any:
		if len(of) == 0 || random.IntN(8) == 0 {
			break
		}
		keys := slices.Sorted(maps.Keys(of))
		key := keys[random.IntN(len(keys))]
		if random.IntN(4) == 0 {
			delete(of, key)
		} else {
			of[key] = change(random, of[key])
		}
		return of
	case []any:
		if len(of) == 0 || random.IntN(4) == 0 {
			break
		}
		i := random.IntN(len(of))
		of[i] = change(random, of[i])
		return of
	}
	return values[random.IntN(len(values))]
}
