package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"recapito/commands/retry"
	"recapito/domain/event"
)

// Limits of a feed. Those of its group are in groupSettings.
const (
	inHand       = 512                    // events that one instance holds unacknowledged
	ackedAtOnce  = 500                    // at most, in one message
	retryFirst   = 100 * time.Millisecond // before an event that failed is given back, doubled each time it comes
	retryMost    = 10 * time.Second       // well below the group's message timeout, with what handling takes
	replayEvery  = 30 * time.Second       // parked events are looked for, and had come again
	groupTimeout = 10 * time.Second       // of one question about the group
)

// groupSettings are those of the groups made here. Pinned keeps a stream's events at one
// instance, for speed only.
func groupSettings() esdb.PersistentSubscriptionSettings {
	return esdb.PersistentSubscriptionSettings{
		ConsumerStrategyName: esdb.ConsumerStrategyPinned,
		MessageTimeout:       30_000, // milliseconds, as the other times
		MaxRetryCount:        10,     // then an event is parked
		MaxSubscriberCount:   esdb.SubscriberCountUnlimited,
		LiveBufferSize:       4096, HistoryBufferSize: 4096, ReadBatchSize: 500,
		CheckpointAfter: 1_000, CheckpointLowerBound: 1, CheckpointUpperBound: 2000,
	}
}

// Feed implements delivery.SharedFeed by persistent subscriptions to $all. A group's
// name stands for its filter: that cannot be changed.
type Feed struct {
	store  *Store
	pause  time.Duration // retryFirst, and
	replay time.Duration // replayEvery, but in tests
	parked atomic.Int64
	lost   atomic.Pointer[error]
}

// Feed makes a feed of the store.
func (s *Store) Feed() *Feed { return &Feed{store: s, pause: retryFirst, replay: replayEvery} }

// State returns how many events were parked when that was last looked at, and why nothing
// comes at present, if so.
func (f *Feed) State() (parked int, err error) {
	if lost := f.lost.Load(); lost != nil {
		err = *lost
	}
	return int(f.parked.Load()), err
}

// Consume implements delivery.SharedFeed. A lost subscription is taken up again.
func (f *Feed) Consume(ctx context.Context, group string, sub event.Subscription, handle func(context.Context, event.Recorded) error) error {
	if sub.After != nil && *sub.After > event.PositionEnd {
		return fmt.Errorf("%w: after position %d", event.ErrInvalid, *sub.After)
	}
	var replaying sync.WaitGroup
	defer replaying.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replaying.Go(func() { f.replayParked(ctx, group) })
	log := retry.NewLog(f.store.logger, "event store: a shared subscription", "group", group)
	return reconnecting.Keep(ctx, log, func(ctx context.Context, _ func()) error {
		err := f.session(ctx, group, sub, handle)
		if ctx.Err() == nil && f.store.ctx.Err() != nil {
			return retry.Permanent(errClosed)
		}
		if ctx.Err() == nil {
			f.lost.Store(&err)
		}
		return err
	})
}

// taken is an event of a session, and where its outcome goes.
type taken struct {
	from    *esdb.PersistentSubscription
	event   *esdb.ResolvedEvent
	retries int
}

// session is one subscription, and the handling of what it brings.
func (f *Feed) session(ctx context.Context, group string, sub event.Subscription, handle func(context.Context, event.Recorded) error) error {
	if err := f.ensure(ctx, group, sub); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	outcomes := make(chan outcome, inHand)
	var handling, settling sync.WaitGroup
	settling.Go(func() { settle(outcomes, f.store.logger) })
	defer func() {
		cancel()
		handling.Wait()
		close(outcomes)
		settling.Wait()
	}()
	return received(ctx, f.store, func(ctx context.Context, c *esdb.Client, emit func(taken) error) error {
		live, err := c.SubscribeToPersistentSubscriptionToAll(ctx, group, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: inHand})
		if err != nil {
			return err
		}
		f.lost.Store(nil)
		defer func() { _ = live.Close() }()
		for {
			next := live.Recv()
			if next.SubscriptionDropped != nil {
				return next.SubscriptionDropped.Error
			}
			if next.EventAppeared != nil {
				if err := emit(taken{live, next.EventAppeared.Event, next.EventAppeared.RetryCount}); err != nil {
					return err
				}
			}
		}
	}, func(t taken) error {
		if t.event.Event == nil { // parked, and its stream was deleted since
			outcomes <- outcome{taken: t}
			return nil
		}
		e := recordedEvent(t.event.Event) // one that was parked comes as what a link points to
		if !sub.Filter.Passes(e.Stream, e.Type) {
			outcomes <- outcome{taken: t}
			return nil
		}
		handling.Go(func() {
			err := handle(ctx, e)
			if err != nil {
				_ = retry.Wait(ctx, retry.Policy{First: f.pause, Most: retryMost}.After(t.retries+1))
			}
			outcomes <- outcome{t, err}
		})
		return nil
	})
}

// outcome is what became of an event.
type outcome struct {
	taken
	err error
}

// settle acknowledges what is done and gives back what is not, until outcomes is closed. It
// settles many at once where they wait; a subscription takes one message at a time. What
// could not be sent is lost with the subscription: the event comes again.
func settle(outcomes <-chan outcome, log *slog.Logger) {
	for a := range outcomes {
		from, done := a.from, make([]*esdb.ResolvedEvent, 0, ackedAtOnce)
		for more := true; more; {
			if a.err == nil {
				done = append(done, a.event)
			} else if err := from.Nack("not done", esdb.NackActionRetry, a.event); err != nil { // kept with a parked event: no more than that
				log.Debug("event store: an event could not be given back", "error", err)
			}
			if len(done) == ackedAtOnce {
				break
			}
			select {
			case a, more = <-outcomes:
			default:
				more = false
			}
		}
		if err := from.Ack(done...); err != nil {
			log.Debug("event store: events could not be acknowledged", "error", err)
		}
	}
}

// ensure sees that the group is there, with the settings of this program. Settings are
// only changed where they differ: that interrupts every consumer.
func (f *Feed) ensure(ctx context.Context, group string, sub event.Subscription) error {
	want := groupSettings()
	return f.ask(ctx, func(ctx context.Context, c *esdb.Client) error {
		info, err := c.GetPersistentSubscriptionInfoToAll(ctx, group, esdb.GetPersistentSubscriptionOptions{})
		if codeOf(err) == esdb.ErrorCodeResourceNotFound {
			options := esdb.PersistentAllSubscriptionOptions{Settings: &want, StartFrom: esdb.Start{}, Filter: serverFilter(sub.Filter), MaxSearchWindow: checkpointAfter}
			if sub.After != nil {
				options.StartFrom = position(*sub.After)
			}
			if err = c.CreatePersistentSubscriptionToAll(ctx, group, options); codeOf(err) == esdb.ErrorCodeResourceAlreadyExists {
				return nil // another instance made it
			}
			return wrapped("making the group", err)
		}
		if err != nil || info.Settings == nil {
			return wrapped("looking at the group", err)
		}
		have := *info.Settings
		want.StartFrom = have.StartFrom
		if have == want {
			return nil
		}
		options := esdb.PersistentAllSubscriptionOptions{Settings: &want, StartFrom: esdb.Start{}}
		if from, ok := have.StartFrom.(esdb.AllPosition); ok {
			options.StartFrom = from
		}
		return wrapped("changing the group's settings", c.UpdatePersistentSubscriptionToAll(ctx, group, options))
	})
}

func codeOf(err error) esdb.ErrorCode {
	var e *esdb.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

func wrapped(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// ask runs a call that has one result.
func (f *Feed) ask(ctx context.Context, call func(context.Context, *esdb.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	done, err := f.store.begin(ctx, call)
	if err != nil {
		return err
	}
	return f.store.ended(ctx, done)
}

// replayParked has parked events come again, now and then, and logs that there are some.
func (f *Feed) replayParked(ctx context.Context, group string) {
	tick := time.NewTicker(f.replay)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := f.ask(ctx, func(ctx context.Context, c *esdb.Client) error {
			info, err := c.GetPersistentSubscriptionInfoToAll(ctx, group, esdb.GetPersistentSubscriptionOptions{})
			if err != nil || info.Stats == nil {
				return err
			}
			f.parked.Store(info.Stats.ParkedMessagesCount)
			if info.Stats.ParkedMessagesCount == 0 {
				return nil
			}
			f.store.logger.Warn("event store: events were given up for now, and come again", "group", group, "parked", info.Stats.ParkedMessagesCount)
			return c.ReplayParkedMessagesToAll(ctx, group, esdb.ReplayParkedMessagesOptions{})
		})
		if err != nil && ctx.Err() == nil {
			f.store.logger.Info("event store: parked events could not be looked for", "group", group, "error", err)
		}
	}
}
