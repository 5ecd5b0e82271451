package follow

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

const (
	// completeEvery is how often it is written how far every projection is.
	completeEvery = 10 * time.Second
	// completeWait is how long that waits for projections that are just behind.
	completeWait    = 2 * time.Second
	completeTimeout = 5 * time.Second
	// maxProofs is how many places a projection that is far behind is watched for.
	maxProofs = 64
)

// errEmptied ends the sessions of a projection whose read models are not there any more.
var errEmptied = errors.New("the read models have lost the projection's table, or do not answer")

// completeness writes to the read models, now and then, until when each projection that
// is kept here is complete. By that an idle instance notices, too, that they are down or
// have been emptied. It appends nothing to the event store.
type completeness struct {
	source    Source
	target    Target
	log       *slog.Logger
	now       func() time.Time
	followers []*follower
	known     map[string]*completed
	failing   bool
}

// completed is what is known of one projection.
type completed struct {
	readmodels.Completeness
	table  string // the live one of then
	proofs []proof
}

// proof: a table that holds what the ledger held at position is complete until then.
type proof struct {
	at       time.Time
	position event.Position
}

func (c *completeness) run(ctx context.Context) {
	tick := time.NewTicker(completeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := c.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !c.failing:
			c.log.Warn("it cannot be written how far the projections are", "error", err)
		case err == nil && c.failing:
			c.log.Info("it is written again how far the projections are")
		}
		c.failing = err != nil
	}
}

// look proves what can be proven, and writes it.
func (c *completeness) look(ctx context.Context) error {
	if err := c.recall(ctx); err != nil {
		return err
	}
	at := c.now()
	newest, some, err := projections.NewestLedgerEvent(ctx, c.source)
	if err != nil {
		return err
	}
	if !some {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	for _, k := range c.followers {
		kept := c.known[k.name()]
		if k.State().Phase == Standby {
			kept.table, kept.proofs = "", nil // its follower tells
			continue
		}
		kept.add(proof{at, newest.Position})
		_ = k.passed(waiting, upTo(newest.Position))
	}
	ctx, cancel = context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	if err := c.write(ctx); err != nil {
		for _, k := range c.followers {
			k.openAnew()
		}
		return err
	}
	return nil
}

// write tells of every projection kept here whose table is there. One whose table is not
// is opened anew.
func (c *completeness) write(ctx context.Context) error {
	generation, err := c.target.Generation(ctx)
	if err != nil {
		return err
	}
	var rows []readmodels.Completeness
	for _, k := range c.followers {
		checkpoints, phase := k.checkpoints.get(), k.State().Phase
		if phase == Standby || phase == Starting || checkpoints.Live.Name == "" {
			continue
		}
		there, err := c.target.Exists(ctx, checkpoints.Live.Name)
		if err != nil {
			return err
		}
		if !there || generation != checkpoints.Generation {
			k.openAnew()
			continue
		}
		kept := c.known[k.name()]
		if kept.note(checkpoints.Live) {
			rows = append(rows, kept.Completeness)
			k.completeUntil(kept.Until)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return c.target.SetCompleteness(ctx, rows)
}

// recall reads, at the start, what was known before it.
func (c *completeness) recall(ctx context.Context) error {
	if c.known != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	rows, err := c.target.Completeness(ctx)
	if err != nil {
		return err
	}
	known := map[string]*completed{}
	for _, k := range c.followers {
		known[k.name()] = &completed{Completeness: readmodels.Completeness{Projection: k.name()}}
	}
	for _, r := range rows {
		if kept := known[r.Projection]; kept != nil {
			kept.Completeness = r
		}
	}
	c.known = known
	return nil
}

func (c *completed) add(p proof) {
	if len(c.proofs) >= maxProofs { // far behind: half of them will do
		for i := range maxProofs / 2 {
			c.proofs[i] = c.proofs[2*i]
		}
		c.proofs = c.proofs[:maxProofs/2]
	}
	c.proofs = append(c.proofs, p)
}

// note takes over what the follower's table proves, and says whether there is something to
// tell. A table that was begun anew proves nothing that the one before did.
func (c *completed) note(live checkpoint.Table) bool {
	reach := live.Done.Events
	if live.Pending != nil {
		reach = live.Pending.LastSeq + 1 // may be in it, and was if this is a restart
	}
	anew := live.Name != c.table && reach < c.Seq
	if anew {
		c.Until = time.Time{}
	}
	c.table, c.Seq, c.Position = live.Name, live.Done.Events, uint64(live.Done.Position)
	passed := 0
	for passed < len(c.proofs) && live.Done.Events > 0 && c.proofs[passed].position <= live.Done.Position {
		c.Until = c.proofs[passed].at
		passed++
	}
	c.proofs = c.proofs[passed:]
	return anew || !c.Until.IsZero()
}

func (k *follower) name() string { return k.projection.Name() }

func (k *follower) completeUntil(t time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.complete = t
}

// openAnew ends the session of a follower that writes nothing just now, and so would not
// notice.
func (k *follower) openAnew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.writers {
		if n, _ := l.inHand(); n > 0 {
			return
		}
	}
	if len(k.writers) > 0 {
		notify(k.doubt)
	}
}
