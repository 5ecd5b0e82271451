package delivery

import (
	"slices"
	"sync"

	"recapito/commands/channel"
	"recapito/domain/notification"
)

// tries is what is known of each unit of a claim: what its tries left, and the answers that
// came when no try waited for them any more.
//
// A unit is tried again only if it was answered busy, or if not one byte of it was handed
// to a connection. A unit whose answer did not come is lost for good: it may have been on
// the wire, whatever its answer turns out to be.
type tries struct {
	mu    sync.Mutex
	units []notification.UnitOutcome
	late  map[int]notification.UnitOutcome // by index in units
	ended bool                             // nothing is tried any more
}

// took keeps the outcome of one try. asked lists the units that it was to send, from 1;
// none: all of them.
func (t *tries) took(asked []int, o channel.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(asked) == 0 {
		t.units = slices.Clone(o.Units)
		return
	}
	for i, unit := range asked {
		now := notification.UnitOutcome{Fate: notification.UnitLost} // a channel that does not report it
		if i < len(o.Units) {
			now = o.Units[i]
		}
		if now.Fate != notification.UnitNotSent { // that adds nothing to what was known
			t.units[unit-1] = now
		}
	}
}

// left lists the units that may be tried again, from 1: none once a unit was refused for
// good, because the attempt has failed then.
func (t *tries) left() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left []int
	for i, u := range t.units {
		switch {
		case u.Fate == notification.UnitNotSent, u.Fate == notification.UnitRefused && u.Busy:
			left = append(left, i+1)
		case u.Fate == notification.UnitRefused:
			return nil
		}
	}
	return left
}

// answered keeps answers that came late to a try. Once nothing is tried any more it returns
// the outcome of the claim as they complete it.
func (t *tries) answered(asked []int, o channel.Outcome) (complete channel.Outcome, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, u := range o.Units {
		at := i
		if len(asked) > i {
			at = asked[i] - 1
		}
		if u.Fate != notification.UnitAccepted && u.Fate != notification.UnitRefused {
			continue
		}
		if t.late == nil {
			t.late = map[int]notification.UnitOutcome{}
		}
		t.late[at] = u
	}
	return t.outcome(), t.ended
}

// end returns the outcome of the claim.
func (t *tries) end() channel.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return t.outcome()
}

// outcome is a copy, with the late answers of lost units. The caller holds the lock.
func (t *tries) outcome() channel.Outcome {
	o := channel.Outcome{Units: slices.Clone(t.units)}
	for i, u := range t.late {
		if i < len(o.Units) && o.Units[i].Fate == notification.UnitLost {
			o.Units[i] = u
		}
	}
	return o
}
