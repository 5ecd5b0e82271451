package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
)

// How long a message that was refused waits until it is delivered again.
const redeliveryPause = 500 * time.Millisecond

// subscriber adds to watermill's that closing drains. Watermill's own drops the messages
// in hand: they are handled, but delivered again at the next start.
type subscriber struct {
	options Options
	group   string

	mu     sync.Mutex
	closed bool
	stops  []context.CancelFunc
	wg     sync.WaitGroup
}

func newSubscriber(o Options, group string) *subscriber {
	return &subscriber{options: o, group: group}
}

// Subscribe joins the group for one topic.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("kafka: subscriber is closed")
	}
	logger := s.options.Logger.With(slog.String("topic", topic), slog.String("group", s.group))
	open := newInHand()
	inner, err := wkafka.NewSubscriber(wkafka.SubscriberConfig{
		Brokers:               s.options.Brokers,
		Unmarshaler:           wkafka.DefaultMarshaler{},
		OverwriteSaramaConfig: consumerConfig(),
		ConsumerGroup:         s.group,
		NackResendSleep:       redeliveryPause,
		Tracer:                open,
	}, newSubscriptionLog(logger))
	if err != nil {
		return nil, fmt.Errorf("kafka: subscriber of %s: %w", topic, err)
	}
	// The messages' contexts must not end before they are drained.
	messagesCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in, err := inner.Subscribe(messagesCtx, topic)
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("kafka: subscribe to %s: %w", topic, err), inner.Close())
	}
	stopCtx, stop := context.WithCancel(ctx)
	s.stops = append(s.stops, stop)
	sub := &subscription{
		in: in, out: make(chan *message.Message), open: open,
		drainTimeout: s.options.DrainTimeout, logger: logger,
	}
	s.wg.Go(func() {
		defer close(sub.out)
		sub.forward(stopCtx)
		stop()
		cancel()
		if err := inner.Close(); err != nil {
			sub.logger.Warn("closing a subscription", slog.Any("error", err))
		}
	})
	return sub.out, nil
}

// Close drains all subscriptions; it may be called often, and returns when they are.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

type subscription struct {
	in           <-chan *message.Message
	out          chan *message.Message
	open         *inHand
	drainTimeout time.Duration
	logger       *slog.Logger
}

// forward hands messages on until ctx ends, then drains.
func (s *subscription) forward(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.drain() //nolint:contextcheck // draining begins when ctx has ended
			return
		case m, ok := <-s.in:
			if !ok {
				return
			}
			partition, offset := place(m) //nolint:contextcheck // the place is in the message's own
			s.open.take(partition, offset)
			select {
			case s.out <- m:
			case <-ctx.Done():
				s.open.leave(partition)
				s.drain() //nolint:contextcheck // draining begins when ctx has ended
				return
			}
		}
	}
}

// drain waits until no message is in hand. A message that comes in meanwhile is kept
// back, to be delivered again after the next start; it shows that the one before it in
// its partition is done, or is the same one again, refused.
func (s *subscription) drain() {
	timeout := time.NewTimer(s.drainTimeout)
	defer timeout.Stop()
	for s.open.count() > 0 {
		select {
		case <-s.open.changed:
		case m, ok := <-s.in:
			if !ok {
				return
			}
			partition, _ := place(m)
			s.open.leave(partition)
		case <-timeout.C:
			s.logger.Warn("messages in hand were not done in time and will be delivered again",
				slog.Int("messages", s.open.count()), slog.Duration("waited", s.drainTimeout))
			return
		}
	}
}

func place(m *message.Message) (partition int32, offset int64) {
	partition, _ = wkafka.MessagePartitionFromCtx(m.Context())
	offset, _ = wkafka.MessagePartitionOffsetFromCtx(m.Context())
	return partition, offset
}

// inHand knows which messages are handed out and not yet marked for commit: at most one
// a partition. Watermill offers a look at the consumer session only to a "tracer", so
// that is what inHand is.
type inHand struct {
	changed chan struct{} // holds one token after a change

	mu      sync.Mutex
	offsets map[int32]int64 // by partition
}

func newInHand() *inHand {
	return &inHand{changed: make(chan struct{}, 1), offsets: make(map[int32]int64)}
}

func (h *inHand) take(partition int32, offset int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offsets[partition] = offset
}

func (h *inHand) leave(partition int32) {
	h.mu.Lock()
	delete(h.offsets, partition)
	h.mu.Unlock()
	h.signal()
}

func (h *inHand) marked(partition int32, offset int64) {
	h.mu.Lock()
	if h.offsets[partition] == offset {
		delete(h.offsets, partition)
	}
	h.mu.Unlock()
	h.signal()
}

// sessionEnded: what was in hand then is never marked.
func (h *inHand) sessionEnded() {
	h.mu.Lock()
	clear(h.offsets)
	h.mu.Unlock()
	h.signal()
}

func (h *inHand) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.offsets)
}

func (h *inHand) signal() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// WrapConsumerGroupHandler puts h between watermill and the session.
func (h *inHand) WrapConsumerGroupHandler(next sarama.ConsumerGroupHandler) sarama.ConsumerGroupHandler {
	return watchedHandler{ConsumerGroupHandler: next, open: h}
}

// WrapConsumer, WrapPartitionConsumer and WrapSyncProducer change nothing.
func (h *inHand) WrapConsumer(c sarama.Consumer) sarama.Consumer { return c }

// WrapPartitionConsumer changes nothing.
func (h *inHand) WrapPartitionConsumer(c sarama.PartitionConsumer) sarama.PartitionConsumer { return c }

// WrapSyncProducer changes nothing.
func (h *inHand) WrapSyncProducer(_ *sarama.Config, p sarama.SyncProducer) sarama.SyncProducer {
	return p
}

type watchedHandler struct {
	sarama.ConsumerGroupHandler
	open *inHand
}

func (w watchedHandler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	return w.ConsumerGroupHandler.ConsumeClaim(watchedSession{ConsumerGroupSession: s, open: w.open}, c)
}

func (w watchedHandler) Cleanup(s sarama.ConsumerGroupSession) error {
	w.open.sessionEnded()
	return w.ConsumerGroupHandler.Cleanup(s)
}

type watchedSession struct {
	sarama.ConsumerGroupSession
	open *inHand
}

func (w watchedSession) MarkMessage(m *sarama.ConsumerMessage, metadata string) {
	w.ConsumerGroupSession.MarkMessage(m, metadata)
	w.open.marked(m.Partition, m.Offset)
}
