package instance

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"recapito/commands"
	"recapito/commands/delivery"
	"recapito/commands/sealing"
	"recapito/domain/event"
)

// TestComesAgain: what time mends is delivered again and holds its partition; what is
// the message's own fault must not.
func TestComesAgain(t *testing.T) {
	_, malformed := delivery.ParseDispatch(message.NewMessage("1", []byte("{}")))
	for _, c := range []struct {
		err  error
		want bool
	}{
		{event.ErrUnavailable, true},
		{event.ErrUnknownOutcome, true},
		{commands.ErrKeysUnavailable, true},
		{delivery.ErrDraining, true},
		{context.DeadlineExceeded, true},
		{sealing.ErrDamaged, false},
		{commands.ErrKeyAbsent, false},
		{event.ErrUnknownType, false},
		{malformed, false},
	} {
		if got := comesAgain(fmt.Errorf("taking an attempt: %w", c.err)); got != c.want {
			t.Errorf("%v: comes again %v, want %v", c.err, got, c.want)
		}
	}
}

type publisher struct{ err error }

func (p *publisher) Publish(string, ...*message.Message) error { return p.err }
func (p *publisher) Close() error                              { return nil }

// TestBusStateTellsOfDispatches: a broker that went away after the start is not up.
func TestBusStateTellsOfDispatches(t *testing.T) {
	b := &bus{connected: make(chan struct{})}
	if b.State() == nil {
		t.Error("it is up before it is connected")
	}
	p := &publisher{}
	b.set(&delivery.Topics{Publisher: p}, nil)
	dispatch := func() error {
		return b.Dispatch(t.Context(), delivery.DispatchMessage{Notification: "n", Attempt: 1}, "sms", "high")
	}
	away := errors.New("no broker")
	for _, p.err = range []error{nil, away, nil} {
		if err := dispatch(); !errors.Is(err, p.err) {
			t.Errorf("Dispatch: %v, want %v", err, p.err)
		}
		if err := b.State(); !errors.Is(err, p.err) {
			t.Errorf("State: %v, want %v", err, p.err)
		}
	}
}
