package follow_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections/follow"
	"recapito/projections/projectionstest"
	"recapito/readmodels"
)

// dying is ClickHouse as a process sees it that is killed at one of its calls: before the
// call was carried out or after, and then no call of it is any more, or only when it has
// long been dead. Every batch is written twice, and without a token.
type dying struct {
	follow.Target
	kill func()

	mu    sync.Mutex
	left  int  // calls until it dies; negative: it lives
	after bool // it dies after the last of them was carried out
	late  []func(context.Context) error
}

// fate reports whether a call is carried out, and whether its answer arrives.
func (d *dying) fate() (carriedOut, answered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left < 0 {
		return true, true
	}
	if d.left == 0 {
		return false, false
	}
	if d.left--; d.left > 0 {
		return true, true
	}
	d.kill()
	return d.after, false
}

func (d *dying) do(act func() error) error {
	carriedOut, answered := d.fate()
	var err error
	if carriedOut {
		err = act()
	}
	if !answered {
		return errChaos
	}
	return err
}

func (d *dying) Create(ctx context.Context, kind readmodels.Table, table string) error {
	return d.do(func() error { return d.Target.Create(context.WithoutCancel(ctx), kind, table) })
}

func (d *dying) Show(ctx context.Context, kind readmodels.Table, table string) error {
	return d.do(func() error { return d.Target.Show(context.WithoutCancel(ctx), kind, table) })
}

func (d *dying) Drop(ctx context.Context, table string) error {
	return d.do(func() error { return d.Target.Drop(context.WithoutCancel(ctx), table) })
}

func (d *dying) Sum(ctx context.Context, kind readmodels.Table, table string, span uint64) error {
	sum := func(ctx context.Context) error { return d.Target.Sum(ctx, kind, table, span) }
	return d.doOrLater(ctx, sum)
}

func (d *dying) Insert(ctx context.Context, kind readmodels.Table, table, _ string, rows []readmodels.Row) error {
	insert := func(ctx context.Context) error { return d.Target.Insert(ctx, kind, table, "", rows) }
	return d.doOrLater(ctx, func(ctx context.Context) error { return errors.Join(insert(ctx), insert(ctx)) })
}

func (d *dying) doOrLater(ctx context.Context, act func(context.Context) error) error {
	carriedOut := false
	err := d.do(func() error {
		carriedOut = true
		return act(context.WithoutCancel(ctx))
	})
	if !carriedOut {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.late = append(d.late, act)
	}
	return err
}

// What TestCrashesAnywhere does to a model of ClickHouse, done to the engine: a process
// that writes it dies at one call after the other, before the call was carried out or
// after; each batch comes twice, without a token; what a dead one had asked for is carried
// out when others have gone on; tables are rebuilt meanwhile. All tables are whole in the
// end.
func TestCrashesOnTheEngine(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Batch, i.Span = 32, 64
	conn := clickhousetest.Database(t)
	random := rand.New(rand.NewPCG(5, 8))
	var dead []*dying
	wakeUp := func() {
		for _, d := range dead {
			for _, act := range d.late {
				_ = act(t.Context()) // its table may be gone
			}
			d.late = nil
		}
	}
	rounds := 8
	if projectionstest.Full() {
		rounds = 20
	}
	for round := range rounds {
		killed := make(chan struct{})
		d := &dying{
			Target: follow.ClickHouse(conn, nil), kill: sync.OnceFunc(func() { close(killed) }),
			left: 1 + random.IntN(50), after: random.IntN(2) == 0,
		}
		i.StartOn(conn, d)
		i.Write(12)
		rebuilding, stop := context.WithCancel(t.Context())
		var rebuilt sync.WaitGroup
		if round%2 == 1 {
			rebuilt.Go(func() { _ = i.P.RebuildAll(rebuilding, nil) })
		}
		i.Write(12)
		idle := make(chan struct{}) // it had less to do
		go func() {
			if i.P.Settle(rebuilding) == nil {
				rebuilt.Wait()
				close(idle)
			}
		}()
		select {
		case <-killed:
		case <-idle:
		}
		i.Stop()
		stop()
		rebuilt.Wait()
		if round%4 == 3 {
			wakeUp()
		}
		dead = append(dead, d)
	}
	i.Start(conn)
	i.Settled()
	wakeUp()
	i.Complete()
}
