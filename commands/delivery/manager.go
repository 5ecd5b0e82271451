package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"recapito/commands"
	"recapito/domain/catalogue"
	"recapito/domain/deadline"
	process "recapito/domain/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// gatherAgain is how soon a source of enrichment that did not answer is asked again.
const gatherAgain = 5 * time.Second

// maxReactions bounds how often one input is reacted to again because the state had
// moved between the reaction and its command.
const maxReactions = 10

// Manager carries out what delivery's process manager decides. Done with an input
// means that all its intents are durable; any of them may be carried out again.
type Manager struct {
	c Config
	// sealed loads a state without opening its values: enough for all but gathering.
	sealed *commands.Handler[notification.State, notification.Command, notification.Event]
	// final remembers notifications seen final lately: most deadlines come after that.
	final *otter.Cache[string, struct{}]
}

// finalRemembered is how many notifications are remembered as final.
const finalRemembered = 200_000

// NewManager binds the process manager to what it acts on.
func NewManager(c Config) *Manager {
	return &Manager{
		c:      c,
		sealed: commands.NewHandler(c.Ledger.Sealed(), notification.Decider),
		final:  otter.Must(&otter.Options[string, struct{}]{MaximumSize: finalRemembered}),
	}
}

// Close ends what the manager runs next to its calls: the forgetting of lapsed states.
func (m *Manager) Close() {
	m.sealed.Close()
	m.final.StopAllGoroutines()
}

// Filter is what the manager must be given of $all: every ledger event, so that what it
// reacts to may change without another subscription. It ignores what asks for nothing.
func (m *Manager) Filter() event.Filter {
	return event.Filter{StreamPrefixes: catalogue.LedgerPrefixes()}
}

// OnEvent reacts to one event of $all. An error means that the input is not done.
func (m *Manager) OnEvent(ctx context.Context, r event.Recorded) error {
	decoded, err := m.c.Ledger.Codec.Decode(ctx, nil, "", r)
	if err != nil {
		return fmt.Errorf("decoding the event at position %d: %w", r.Position, err)
	}
	switch e := decoded.(type) {
	case notification.Event:
		id := r.Stream[len(notification.StreamPrefix):]
		l, ok := m.c.Notifications.Remembered(r.Stream, r.Revision)
		if !ok {
			if l, err = m.sealed.LoadAt(ctx, r.Stream, r.Revision); err != nil {
				return err
			}
		}
		if l.State.Final() {
			m.final.Set(id, struct{}{})
		}
		return m.react(ctx, id, l, process.Recorded{Event: e}, r.ID)
	case receipt.ReceiptMatched:
		l, found, err := commands.LoadAttempt(ctx, m.sealed, e.Notification, e.Attempt)
		if err != nil {
			return err
		}
		if !found {
			m.c.Log.Warn("a receipt names an attempt that is not there; it stays on its own stream", "position", r.Position)
			return nil
		}
		return m.react(ctx, e.Notification, l, process.Matched{Receipt: e}, r.ID)
	}
	return nil
}

// OnDeadline reacts to a deadline that has come.
func (m *Manager) OnDeadline(ctx context.Context, d deadline.DeadlineSet) error {
	if _, over := m.final.GetIfPresent(d.Notification); over {
		return nil // final stays final: nothing of it has a limit any more
	}
	l, err := m.sealed.Load(ctx, notification.Stream(d.Notification))
	if u, unreadable := event.AsUnreadable(event.Recorded{}, err); unreadable {
		m.c.Log.Info("a deadline lapses: its notification cannot be read", "stream", u.Stream, "revision", u.Revision)
		return nil // what cannot be read is set aside; taken up again, it sets its deadlines
	}
	if err != nil {
		return err
	}
	return m.react(ctx, d.Notification, l, process.Fired{Attempt: d.Attempt, GivenBack: d.GivenBack}, "")
}

// react carries out what an input asks for. A command that is refused because the
// state has moved meanwhile is reacted to again, with the state as it is then.
func (m *Manager) react(ctx context.Context, id string, l commands.Loaded[notification.State], in process.Input, cause string) error {
	for range maxReactions {
		err := m.carryOut(ctx, id, l.State, process.React(id, l.State, in, m.c.Ledger.Now()), cause)
		if !errors.Is(err, notification.ErrInFlight) {
			return err
		}
		if l, err = m.c.Notifications.Load(ctx, notification.Stream(id)); err != nil {
			return err
		}
	}
	return fmt.Errorf("still in flight after %d reactions", maxReactions)
}

// carryOut does everything but the dispatches first: the deadline that watches over
// a dispatch is durable before it, so a dispatch that fails may be forgotten.
func (m *Manager) carryOut(ctx context.Context, id string, s notification.State, intents []process.Intent, cause string) error {
	origin := commands.Origin{Tenant: s.Requested.Tenant, Actor: commands.ActorDelivery, Correlation: id, Causation: cause, Test: s.Requested.Test}
	var due []deadline.DeadlineSet
	for _, intent := range intents {
		switch i := intent.(type) {
		case process.Gather:
			again, err := m.gather(ctx, origin, id, s)
			if err != nil {
				return err
			}
			due = append(due, again...)
		case process.Tell:
			o := origin
			if c, ok := i.Command.(notification.Confirm); ok { // it is the provider that says so
				if a, ok := s.Attempt(c.Attempt); ok {
					o.Actor = commands.ActorProvider + a.Route
				}
			}
			if _, err := m.c.Notifications.Handle(ctx, o, notification.Stream(id), i.Command); err != nil {
				return fmt.Errorf("telling a notification: %w", err)
			}
		case process.Register:
			if err := m.register(ctx, origin, i); err != nil {
				return err
			}
		case process.Schedule:
			due = append(due, deadline.DeadlineSet{At: i.At, Notification: id, Attempt: i.Attempt})
		case process.Dispatch: // below
		}
	}
	if len(due) > 0 {
		if err := m.c.Deadlines.Set(ctx, due...); err != nil {
			return fmt.Errorf("setting deadlines: %w", err)
		}
	}
	for _, intent := range intents {
		if d, ok := intent.(process.Dispatch); ok {
			msg := DispatchMessage{Tenant: s.Requested.Tenant, Notification: id, Attempt: d.Attempt}
			if err := m.c.Queue.Dispatch(ctx, msg, d.Channel, d.Priority); err != nil {
				m.c.Log.Warn("an attempt could not be put on its queue; its watchdog will try again", "notification", id, "attempt", d.Attempt, "error", err)
			}
		}
	}
	return nil
}

// gather asks the sources and issues what follows; a source that does not answer
// becomes a deadline.
func (m *Manager) gather(ctx context.Context, o commands.Origin, id string, s notification.State) ([]deadline.DeadlineSet, error) {
	if s.Enriched || s.Over() {
		return nil, nil
	}
	// The state that was reacted to may hold its values sealed.
	l, err := m.c.Notifications.LoadAt(ctx, notification.Stream(id), 0)
	if err != nil {
		return nil, err
	}
	command, err := m.c.Planner.Gather(ctx, l.State.Requested)
	if err != nil {
		m.c.Log.Warn("enrichment will be tried again", "notification", id, "error", err)
		return []deadline.DeadlineSet{{At: deadline.Tick(s.Requested.At, gatherAgain, m.c.Ledger.Now()), Notification: id}}, nil
	}
	_, err = m.c.Notifications.Handle(ctx, o, notification.Stream(id), command)
	if errors.Is(err, event.ErrTooLarge) { // and always will be
		command = notification.Reject{
			Code: "too_large", Detail: "the message, stored for each address with its attachments, is larger than an event may be", At: m.c.Ledger.Now(),
		}
		_, err = m.c.Notifications.Handle(ctx, o, notification.Stream(id), command)
	}
	if err != nil {
		return nil, fmt.Errorf("enriching a notification: %w", err)
	}
	return nil, nil
}

func (m *Manager) register(ctx context.Context, o commands.Origin, i process.Register) error {
	route, ok := m.c.Routes.Named(i.Route)
	if !ok {
		route.Form = receipt.Text
	}
	i.Submission.OpenUntil = i.Submission.AcceptedAt.Add(route.Window())
	for _, id := range route.Form.SubmissionIDs(i.ProviderID) {
		c := receipt.RegisterSubmission{Submission: i.Submission, Route: i.Route, At: m.c.Ledger.Now()}
		if _, err := m.c.Receipts.HandleNew(ctx, o, receipt.Stream(i.Route, id), c); err != nil {
			return fmt.Errorf("registering a submission: %w", err)
		}
	}
	return nil
}
