package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	metricsNamespace = "recapito"
	metricsSubsystem = "bus"
)

// Bounds of the router, where not set otherwise.
const (
	defaultRetries       = 5 // 1.5 s together
	defaultRetryInterval = 50 * time.Millisecond
	maxRetryInterval     = time.Second
	retryMultiplier      = 2
	retryJitter          = 0.5
	defaultCloseTimeout  = 20 * time.Second // more than draining and leaving the group take
	maxReasonBytes       = 1024
)

// RouterOptions shape what happens around every handler.
type RouterOptions struct {
	Logger *slog.Logger
	// Publisher gets the dead letters; required.
	Publisher message.Publisher
	// PoisonTopic names the dead-letter topic of a topic; DeadTopicName if nil.
	PoisonTopic func(topic string) string
	// Redeliver marks an error that is not the message's fault (the store is
	// down): the message then is not dead-lettered but delivered again, and holds its
	// partition meanwhile. Nil: no error is.
	Redeliver func(error) bool
	// Hopeless marks an error that repetition does not help: the message is dead-lettered at
	// once. Nil: no error is.
	Hopeless func(error) bool
	// Retries of a failed handler, before its message is dead-lettered, and the first
	// pause between them, which doubles up to a second. 5 and 50 ms if zero;
	// negative Retries: none.
	Retries       int
	RetryInterval time.Duration
	// CloseTimeout is how long Close waits for handlers; 20 s if zero.
	CloseTimeout time.Duration
	// Metrics, if set, gets handlers' times and counts of dead letters.
	Metrics prometheus.Registerer
}

// NewRouter makes a Watermill router in which a handler's panic is an error, an error is
// retried, and a message that keeps failing goes to its dead-letter topic with the
// reason in its metadata (middleware.ReasonForPoisonedKey and its siblings), so that it
// does not hold its partition. If it cannot be written there either, it is
// delivered again. Messages that a handler returns inherit the correlation id.
func NewRouter(o RouterOptions) (*message.Router, error) {
	if o.Publisher == nil {
		return nil, errors.New("kafka: router needs a publisher for dead letters")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PoisonTopic == nil {
		o.PoisonTopic = DeadTopicName
	}
	if o.Retries == 0 {
		o.Retries = defaultRetries
	}
	if o.RetryInterval == 0 {
		o.RetryInterval = defaultRetryInterval
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	log := busLog(o.Logger)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: o.CloseTimeout}, log)
	if err != nil {
		return nil, fmt.Errorf("kafka: router: %w", err)
	}
	dead, err := newDeadLetters(o)
	if err != nil {
		return nil, fmt.Errorf("kafka: router: %w", err)
	}
	router.AddMiddleware(middleware.CorrelationID, dead.middleware)
	if o.Metrics != nil {
		b := metrics.NewPrometheusMetricsBuilder(o.Metrics, metricsNamespace, metricsSubsystem)
		router.AddMiddleware(b.NewRouterMiddleware().Middleware)
	}
	router.AddMiddleware(
		middleware.Retry{
			MaxRetries:          max(o.Retries, 0),
			InitialInterval:     o.RetryInterval,
			MaxInterval:         maxRetryInterval,
			Multiplier:          retryMultiplier,
			RandomizationFactor: retryJitter,
			ShouldRetry:         func(p middleware.RetryParams) bool { return o.Hopeless == nil || !o.Hopeless(p.Err) },
			ResetContextOnRetry: true,
			Logger:              retryLog(o.Logger),
		}.Middleware,
		namePanic(o.Logger),
		middleware.Recoverer,
	)
	return router, nil
}

// deadLetters is watermill's poison queue with a topic for each topic.
type deadLetters struct {
	options RouterOptions
	count   *prometheus.CounterVec
}

func newDeadLetters(o RouterOptions) (*deadLetters, error) {
	d := &deadLetters{options: o, count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Subsystem: metricsSubsystem, Name: "dead_letters_total",
		Help: "Messages put on a dead-letter topic, by the topic they came from.",
	}, []string{"topic"})}
	if o.Metrics == nil {
		return d, nil
	}
	err := o.Metrics.Register(d.count)
	if have := (prometheus.AlreadyRegisteredError{}); errors.As(err, &have) {
		count, ok := have.ExistingCollector.(*prometheus.CounterVec)
		if !ok {
			return nil, fmt.Errorf("register metric: %w", err)
		}
		d.count = count
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("register metric: %w", err)
	}
	return d, nil
}

func (d *deadLetters) middleware(h message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		queue, err := middleware.PoisonQueueWithFilter(d, d.options.PoisonTopic(message.SubscribeTopicFromCtx(m.Context())),
			func(err error) bool {
				// A message whose context ended was interrupted by closing, not at fault.
				return m.Context().Err() == nil && (d.options.Redeliver == nil || !d.options.Redeliver(err))
			})
		if err != nil {
			return nil, fmt.Errorf("dead-letter topic: %w", err)
		}
		return queue(h)(m)
	}
}

// Publish puts poisoned messages, with a bounded reason, on the dead-letter topic.
func (d *deadLetters) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		reason := cut(m.Metadata.Get(middleware.ReasonForPoisonedKey), maxReasonBytes)
		m.Metadata.Set(middleware.ReasonForPoisonedKey, reason)
		if err := d.options.Publisher.Publish(topic, m); err != nil {
			return err
		}
		from := m.Metadata.Get(middleware.PoisonedTopicKey)
		d.count.WithLabelValues(from).Inc()
		d.options.Logger.Error("message put on its dead-letter topic",
			slog.String("topic", from), slog.String("message", m.UUID), slog.String("reason", reason))
	}
	return nil
}

// Close does nothing: the publisher belongs to the bus.
func (d *deadLetters) Close() error { return nil }

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// namePanic makes of a recovered panic an error that can be shown: the value that
// was thrown may hold anything, so only errors are quoted, and of others the type
// alone. The stack goes to the log.
func namePanic(l *slog.Logger) message.HandlerMiddleware {
	return func(h message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			produced, err := h(m)
			var p middleware.RecoveredPanicError
			if !errors.As(err, &p) {
				return produced, err
			}
			l.Error("handler panicked", slog.String("handler", message.HandlerNameFromCtx(m.Context())),
				slog.String("message", m.UUID), slog.String("stack", p.Stacktrace))
			switch v := p.V.(type) {
			case error:
				return nil, fmt.Errorf("handler panicked: %w", v)
			default:
				return nil, fmt.Errorf("handler panicked with a %T", v)
			}
		}
	}
}
