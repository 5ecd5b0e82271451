package channeltest

import (
	"context"
	"errors"
	"sync"

	"recapito/commands/channel"
)

var errNotNow = errors.New("not now")

// Sink is the receipt sink the suite hands to a channel.
type Sink struct {
	mu     sync.Mutex
	taken  []channel.ProviderReceipt
	refuse int // how many more to refuse
	asked  int
	gate   chan struct{} // not nil: Receive waits for it
}

// Receive implements channel.ReceiptSink.
func (s *Sink) Receive(ctx context.Context, r channel.ProviderReceipt) error {
	s.mu.Lock()
	s.asked++
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errNotNow
	}
	s.taken = append(s.taken, r)
	return nil
}

func (s *Sink) receipts() []channel.ProviderReceipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]channel.ProviderReceipt(nil), s.taken...)
}

func (s *Sink) askedFor() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *Sink) refuseNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = n
}
