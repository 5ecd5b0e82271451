package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"recapito/adapters/kafka"
	"recapito/commands"
	"recapito/commands/delivery"
	"recapito/commands/retry"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// bus keeps the dispatch topics of every channel connected: it publishes what the
// process manager dispatches and hands what comes off to the worker. A broker that is
// away, at the start or later, holds nothing up: a dispatch that fails is repeated by
// its attempt's watchdog.
type bus struct {
	brokers  []string
	channels []string
	worker   *delivery.Worker
	metrics  prometheus.Registerer
	log      *slog.Logger

	connected chan struct{} // closed when it is for the first time
	first     sync.Once

	mu     sync.Mutex
	topics *delivery.Topics // nil while not connected
	state  error            // why it is not, or why the last dispatch failed
}

var errNoBroker = errors.New("not connected to Kafka yet")

// Dispatch implements delivery.Queue.
func (b *bus) Dispatch(ctx context.Context, d delivery.DispatchMessage, channel, priority string) error {
	b.mu.Lock()
	topics, state := b.topics, b.state
	b.mu.Unlock()
	if topics == nil {
		return errors.Join(errNoBroker, state)
	}
	err := topics.Dispatch(ctx, d, channel, priority)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == topics {
		b.state = err
	}
	return err
}

// State is nil while the bus is connected and took the last dispatch.
func (b *bus) State() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		return errors.Join(errNoBroker, b.state)
	}
	return b.state
}

func (b *bus) set(topics *delivery.Topics, state error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics, b.state = topics, state
	if topics != nil {
		b.first.Do(func() { close(b.connected) })
	}
}

// run connects, works, and connects again until ctx ends.
func (b *bus) run(ctx context.Context) error {
	log := retry.NewLog(b.log, "the bus")
	return connecting.Keep(ctx, log, func(ctx context.Context, _ func()) error {
		err := b.session(ctx)
		b.set(nil, err)
		return err
	})
}

func (b *bus) session(ctx context.Context) (err error) {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	open, err := kafka.Open(kafka.Options{Brokers: b.brokers, Logger: b.log, Metrics: b.metrics})
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	router, err := kafka.NewRouter(kafka.RouterOptions{
		Logger: b.log, Publisher: open.Publisher(), Metrics: b.metrics,
		Redeliver: comesAgain, Hopeless: hopeless,
	})
	if err != nil {
		return fmt.Errorf("making the router: %w", err)
	}
	for _, channel := range b.channels {
		for _, priority := range notification.Priorities {
			subscriber, err := open.Subscriber(delivery.DispatchGroup(channel))
			if err != nil {
				return fmt.Errorf("subscribing: %w", err)
			}
			topic := delivery.DispatchTopic(channel, priority)
			router.AddConsumerHandler(topic, topic, subscriber, b.handle)
		}
	}
	b.set(&delivery.Topics{Publisher: open.Publisher()}, nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		cancel(b.watchTopics(ctx))
	}()
	err = router.Run(ctx)
	cancel(nil)
	<-watched
	if err != nil {
		return fmt.Errorf("running the router: %w", err)
	}
	if gone := context.Cause(ctx); errors.Is(gone, errTopicGone) {
		return gone
	}
	return nil
}

// topicsEvery is how often the topics are looked for while the bus is connected.
const topicsEvery = 5 * time.Second

var errTopicGone = errors.New("a topic is gone")

// watchTopics returns when a topic is gone, so that the next session makes it again: a
// consumer of a topic that was deleted waits for ever. What was on it comes again by the
// attempts' watchdogs.
func (b *bus) watchTopics(ctx context.Context) error {
	tick := time.NewTicker(topicsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A broker that is away is looked at again: it is no topic that is gone.
		missing, err := kafka.MissingTopic(ctx, b.brokers, b.topicList()...)
		if err == nil && missing != "" {
			return fmt.Errorf("%w: %s", errTopicGone, missing)
		}
	}
}

func (b *bus) topicList() []kafka.Topic {
	var topics []kafka.Topic
	for _, channel := range b.channels {
		for _, priority := range notification.Priorities {
			name := delivery.DispatchTopic(channel, priority)
			topics = append(topics, kafka.WorkTopic(name), kafka.DeadTopic(name))
		}
	}
	return topics
}

// prepare makes the topics and learns which bus this is.
func (b *bus) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	generation, created, err := kafka.Generation(ctx, b.brokers)
	if err != nil {
		return fmt.Errorf("reading the bus's generation: %w", err)
	}
	if created {
		b.log.Info("the bus is new: attempts that were on an older one are dispatched again by their watchdogs", "generation", generation)
	}
	if err := kafka.EnsureTopics(ctx, b.brokers, b.topicList()...); err != nil {
		return fmt.Errorf("making the topics: %w", err)
	}
	return nil
}

// comesAgain reports whether time will mend an error: the message is delivered again and
// holds its partition until then. Any other, which repetition did not help, is the
// message's own (a value that does not open, a stream that does not fold): on the
// dead-letter topic it holds up nobody, and the attempt's watchdog dispatches it again.
func comesAgain(err error) bool {
	for _, passing := range []error{
		event.ErrUnavailable, event.ErrUnknownOutcome, commands.ErrKeysUnavailable, delivery.ErrDraining, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// hopeless reports whether an error is the message's for good: its dead-letter topic has it
// at once.
func hopeless(err error) bool {
	_, unreadable := event.AsUnreadable(event.Recorded{}, err)
	return unreadable || errors.Is(err, delivery.ErrNoDispatch)
}

func (b *bus) handle(m *message.Message) error {
	d, err := delivery.ParseDispatch(m)
	if err != nil {
		return err
	}
	return b.worker.Handle(m.Context(), d)
}
