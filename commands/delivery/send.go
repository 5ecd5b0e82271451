package delivery

import (
	"context"
	"errors"
	"time"

	"recapito/commands"
	"recapito/commands/channel"
	"recapito/commands/retry"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// offering is how often the result of a send is offered to a store that does not take
// it; after that the watchdog decides OutcomeUnknown.
var offering = retry.Policy{First: 250 * time.Millisecond, Most: 2 * time.Second, Tries: 8}

// trying is how long to wait before units of a claim are tried again.
var trying = retry.Policy{First: 250 * time.Millisecond, Most: 2 * time.Second}

// send is one claimed attempt on its way.
type send struct {
	worker *Worker
	origin commands.Origin
	route  channel.Configured
	d      DispatchMessage
	claim  string
	// The destination, in clear, and its token: an id that holds the one is stored with the other.
	destination string
	token       receipt.Token
	start       time.Time     // by the worker's own clock, from before the claim's append
	limit       time.Duration // the wire limit
	expires     time.Time     // zero: never
	tries       tries
}

// run tries the units of the claim until nothing of it may be tried any more, and records
// its outcome, once. Between two tries it holds no capacity.
func (s *send) run(m channel.Message, release func()) {
	defer s.worker.sending.Done()
	// Half the wire limit is the fence and the deadline of every write and answer:
	// what is said after that is said as unknown, well before the watchdog says so.
	ctx, cancel := context.WithTimeout(s.worker.life, s.limit/2-s.elapsed())
	defer cancel()
	_ = s.worker.trying.Do(ctx, nil, func(ctx context.Context) error { // what is left in the end is in the outcome
		if release == nil {
			if ctx.Err() != nil || !s.fence() {
				return retry.Permanent(errShut)
			}
			again, err := s.route.Wire.Acquire(ctx, len(m.Units))
			if err != nil {
				return err
			}
			release = again
		}
		s.try(ctx, m, release)
		release = nil
		if m.Units = s.tries.left(); len(m.Units) > 0 {
			return errLeft
		}
		return nil
	})
	s.record(s.tries.end())
}

var (
	errShut = errors.New("the fence is shut")
	errLeft = errors.New("units are left")
)

func (s *send) try(ctx context.Context, m channel.Message, release func()) {
	defer release()
	asked := m.Units
	late := func(o channel.Outcome) { s.late(asked, o) }
	s.tries.took(asked, s.route.Wire.Send(ctx, m, s.fence, late))
}

// fence reports whether a unit may still go on the wire.
func (s *send) fence() bool {
	now := s.worker.c.Ledger.Now()
	return now.Sub(s.start) < s.limit/2 && (s.expires.IsZero() || now.Before(s.expires))
}

func (s *send) elapsed() time.Duration { return s.worker.c.Ledger.Now().Sub(s.start) }

// Codes of attempts that cannot be sent.
const (
	codeErased     = "erased"          // the destination is not there any more
	codeUnreadable = "invalid_content" // as channels call it
)

// refuse ends an attempt that cannot be sent.
func (s *send) refuse(code string, units int, release func()) {
	defer s.worker.sending.Done()
	defer release()
	o := channel.Outcome{Units: make([]notification.UnitOutcome, units)}
	for i := range o.Units {
		o.Units[i] = notification.UnitOutcome{Fate: notification.UnitRefused, Code: code, At: s.worker.c.Ledger.Now()}
	}
	s.record(o)
}

// late records answers that came after their try had ended.
func (s *send) late(asked []int, o channel.Outcome) {
	complete, ended := s.tries.answered(asked, o)
	if ended && s.worker.begin() { // else they are in the outcome that run records
		defer s.worker.sending.Done()
		s.record(complete)
	}
}

// record appends the result. The store may be away for a while; if it stays away the
// watchdog says OutcomeUnknown in its stead.
func (s *send) record(o channel.Outcome) {
	w := s.worker
	command := notification.RecordOutcome{Attempt: s.d.Attempt, Claim: s.claim, At: w.c.Ledger.Now()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.life), s.limit)
	defer cancel()
	for _, u := range o.Units {
		u.ProviderID, u.Code = s.storable(ctx, u.ProviderID), commands.StorableCode(u.Code, s.destination)
		command.Units = append(command.Units, u)
	}
	err := w.offering.Do(ctx, nil, func(ctx context.Context) error {
		_, err := w.c.Notifications.Handle(ctx, s.origin, notification.Stream(s.d.Notification), command)
		return err
	})
	if err != nil {
		w.c.Log.Error("the result of a send could not be recorded; its watchdog will decide that it is unknown",
			"notification", s.d.Notification, "attempt", s.d.Attempt, "error", err)
	}
}

// storable is a provider's id as it may be stored.
func (s *send) storable(ctx context.Context, id string) string {
	if !commands.HidesID(id, s.destination) {
		return id
	}
	t, err := s.worker.c.Tokens.DestinationToken(ctx, s.route.Name, commands.IDForm(id), s.start)
	if err != nil { // no receipt will find it by its id
		return commands.StorableCode(id, s.destination)
	}
	return commands.HashedID(t)
}
