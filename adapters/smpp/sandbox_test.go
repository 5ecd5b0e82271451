package smpp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"recapito/adapters/smpp"
	"recapito/adapters/smpp/sandbox"
	"recapito/commands/channel"
	"recapito/domain/content"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// sink remembers receipts, and refuses the next few when told to.
type sink struct {
	mu     sync.Mutex
	got    []channel.ProviderReceipt
	refuse int
	block  chan struct{} // not nil: Receive waits for it
	came   chan struct{}
}

func newSink() *sink { return &sink{came: make(chan struct{}, 1<<16)} }

func (s *sink) Receive(ctx context.Context, r channel.ProviderReceipt) error {
	s.mu.Lock()
	block := s.block
	s.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("not now")
	}
	s.got = append(s.got, r)
	s.came <- struct{}{}
	return nil
}

func (s *sink) receipts() []channel.ProviderReceipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]channel.ProviderReceipt(nil), s.got...)
}

// wait gives the receipts once there are n.
func (s *sink) wait(t *testing.T, n int) []channel.ProviderReceipt {
	t.Helper()
	eventually(t, fmt.Sprintf("%d receipts", n), func() bool { return len(s.receipts()) >= n })
	return s.receipts()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// startSandbox runs a simulator until the test ends.
func startSandbox(t *testing.T, o sandbox.Options) *sandbox.Simulator {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Addr = "127.0.0.1:0"
	s, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	runUntilEnd(t, s.Run)
	return s
}

// runUntilEnd runs something for as long as the test, and fails it on an error.
func runUntilEnd(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("run: %v", err)
				}
			case <-time.After(patience):
				t.Error("run did not end")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// startRoute runs a route until the test ends, and waits until it is bound.
func startRoute(t *testing.T, o smpp.RouteOptions) *smpp.Route {
	t.Helper()
	r := routeOf(t, o)
	runUntilEnd(t, r.Run)
	eventually(t, "bind", func() bool { return r.State() == nil })
	return r
}

func routeOf(t *testing.T, o smpp.RouteOptions) *smpp.Route {
	t.Helper()
	if o.Name == "" {
		o.Name = "test"
	}
	if o.Sink == nil {
		o.Sink = newSink()
	}
	if o.RebindMin == 0 {
		o.RebindMin, o.RebindMax = 5*time.Millisecond, 50*time.Millisecond
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 200 * time.Millisecond
	}
	r, err := smpp.NewRoute(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func message(n int, text string) channel.Message {
	return channel.Message{
		Notification: fmt.Sprintf("n%d", n), Attempt: 1, Reference: fmt.Sprintf("n%d/1", n),
		Sender: "Recapito", Destination: fmt.Sprintf("+39333%07d", n), Content: textOf(text),
	}
}

func textOf(text string) content.Document {
	return content.Document{Type: content.SMS.Name, Version: content.SMS.Version, Members: map[string]string{"text": text}}
}

func always() bool { return true }

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestMessageAndReceipt(t *testing.T) {
	for _, form := range []sandbox.IDForm{sandbox.FormDecimal, sandbox.FormHex} {
		for _, omit := range []string{"nothing", "text", "TLVs"} {
			t.Run(fmt.Sprintf("%s without %s", form, omit), func(t *testing.T) {
				dir := t.TempDir()
				sim := startSandbox(t, sandbox.Options{
					Dir: dir, AnswerIDs: form, ReceiptIDs: form, OmitText: omit == "text", OmitTLVs: omit == "TLVs", EchoReference: true,
				})
				s := newSink()
				r := startRoute(t, smpp.RouteOptions{Addr: sim.Addr(), Sink: s, SendReference: true})
				m := message(7, "Your appointment is on Monday")
				out := r.Send(within(t, patience), m, always, nil)
				if len(out.Units) != 1 || out.Units[0].Fate != notification.UnitAccepted || out.Units[0].ProviderID == "" {
					t.Fatalf("outcome %+v", out)
				}
				got := s.wait(t, 1)[0]
				if got.ProviderID != out.Units[0].ProviderID {
					t.Errorf("receipt of %q, sent %q", got.ProviderID, out.Units[0].ProviderID)
				}
				if got.Status != receipt.Delivered || got.Code != "" {
					t.Errorf("status %v, code %q", got.Status, got.Code)
				}
				if got.Destination != m.Destination || got.Sender != m.Sender {
					t.Error("the receipt names other addresses")
				}
				if got.Reference != m.Reference || got.Unit != 1 || got.Route != "test" {
					t.Errorf("reference %q part %d route %q", got.Reference, got.Unit, got.Route)
				}
				if omit != "text" && (got.OccurredAt.IsZero() || time.Since(got.OccurredAt).Abs() > 2*time.Minute) {
					t.Errorf("occurred at %v", got.OccurredAt)
				}
				eventually(t, "acknowledged receipt", func() bool { return sim.Stats().Acknowledged == 1 })
				eventually(t, "journal of it", func() bool {
					entries, err := sandbox.ReadJournal(dir)
					return err == nil && len(entries) == 1 && entries[0].Receipt == sandbox.ReceiptAcknowledged &&
						entries[0].Reference == m.Reference && entries[0].ID == out.Units[0].ProviderID
				})
			})
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	sim, err := sandbox.New(sandbox.Options{Dir: b.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = sim.Run(ctx) })
	s := &sink{came: make(chan struct{}, 1<<20)}
	r, err := smpp.NewRoute(smpp.RouteOptions{Name: "bench", Addr: sim.Addr(), Sink: s, Window: 512})
	if err != nil {
		b.Fatal(err)
	}
	wg.Go(func() { _ = r.Run(ctx) })
	for r.State() != nil {
		time.Sleep(time.Millisecond)
	}
	m := message(1, "Your appointment is on Monday at ten in the morning")
	b.ResetTimer()
	var sends sync.WaitGroup
	for range b.N {
		release, err := r.Acquire(ctx, 1)
		if err != nil {
			b.Fatal(err)
		}
		sends.Go(func() {
			defer release()
			if out := r.Send(ctx, m, always, nil); out.Units[0].Fate != notification.UnitAccepted {
				b.Errorf("outcome %+v", out)
			}
		})
	}
	sends.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submit/s")
}
