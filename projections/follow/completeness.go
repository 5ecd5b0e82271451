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
	// completeEvery is how often completeness is written.
	completeEvery = 10 * time.Second
	// completeWait is how long a write waits for projections that are just behind.
	completeWait    = 2 * time.Second
	completeTimeout = 5 * time.Second
	// maxProofs is how many places are remembered for a projection that is far behind.
	maxProofs = 64
)

// errEmptied ends the session of a projection whose read models are gone.
var errEmptied = errors.New("the read models have lost the projection's table, or do not respond")

// completeness writes to the read models, every completeEvery, until when each projection
// that is followed here is complete. An idle instance also notices by it that they are down
// or have been emptied. It appends nothing to the event store.
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
	table  string // the live table when it was last noted
	proofs []proof
}

// proof: a table that holds the ledger up to position is complete until at.
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
			c.log.Warn("writing how far the projections are failed, will be tried again", "error", err)
		case err == nil && c.failing:
			c.log.Info("writing how far the projections are works again")
		}
		c.failing = err != nil
	}
}

// look adds a proof for now, and writes what is proven.
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
	for _, f := range c.followers {
		kept := c.known[f.name()]
		if f.State().Phase == Standby {
			kept.table, kept.proofs = "", nil // the instance that follows it writes it
			continue
		}
		kept.add(proof{at, newest.Position})
		_ = f.passed(waiting, upTo(newest.Position))
	}
	ctx, cancel = context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	if err := c.write(ctx); err != nil {
		for _, f := range c.followers {
			f.openAnew()
		}
		return err
	}
	return nil
}

// write writes a row of each projection that is followed here. A projection whose table
// is gone is opened anew.
func (c *completeness) write(ctx context.Context) error {
	generation, err := c.target.Generation(ctx)
	if err != nil {
		return err
	}
	var rows []readmodels.Completeness
	var followed []*follower
	for _, f := range c.followers {
		checkpoints, phase := f.checkpoints.get(), f.State().Phase
		if phase == Standby || phase == Starting || checkpoints.Live.Name == "" {
			continue
		}
		there, err := c.target.Exists(ctx, checkpoints.Live.Name)
		if err != nil {
			return err
		}
		if !there || generation != checkpoints.Generation {
			f.openAnew()
			continue
		}
		kept := c.known[f.name()]
		if kept.note(checkpoints.Live) {
			rows = append(rows, kept.Completeness)
			f.completeUntil(kept.Until)
			followed = append(followed, f)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if err := c.target.SetCompleteness(ctx, rows); err != nil {
		return err
	}
	for _, f := range followed {
		f.wrote()
	}
	return nil
}

// recall reads, once after the start, what was written before it.
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
	for _, f := range c.followers {
		known[f.name()] = &completed{Completeness: readmodels.Completeness{Projection: f.name()}}
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
	if len(c.proofs) >= maxProofs { // far behind: every second one is enough
		for i := range maxProofs / 2 {
			c.proofs[i] = c.proofs[2*i]
		}
		c.proofs = c.proofs[:maxProofs/2]
	}
	c.proofs = append(c.proofs, p)
}

// note takes over what the live table proves, and returns whether there is something to
// write. A table that was begun anew proves nothing about the one before.
func (c *completed) note(live checkpoint.Table) bool {
	reach := live.Done.Events
	if live.Pending != nil {
		reach = live.Pending.LastSeq + 1 // it may be in the table
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

func (f *follower) name() string { return f.projection.Name() }

func (f *follower) completeUntil(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.complete = t
}

// wrote records, for the running session, that the read models took what was written.
func (f *follower) wrote() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.writers) > 0 {
		notify(f.worked)
	}
}

// openAnew ends the session of a follower that writes nothing just now, and so would not
// notice that its table is gone.
func (f *follower) openAnew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.writers {
		if n, _ := w.inHand(); n > 0 {
			return
		}
	}
	if len(f.writers) > 0 {
		notify(f.doubt)
	}
}
