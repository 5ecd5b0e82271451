package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/IBM/sarama"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/components/metrics"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
)

// PartitionKey is the metadata key whose value decides the partition of a message:
// equal values go to one partition. A message without it goes where its UUID leads.
const PartitionKey = "partition_key"

const clientID = "recapito"

// oldestBroker is what sarama takes the cluster to be at least. From 2.3 on a member is
// given its id before it joins, so that one that joins again is not taken for another.
var oldestBroker = sarama.V2_8_0_0

// How long closing waits for messages in hand, if not set.
const defaultDrainTimeout = 5 * time.Second

// Options name the bus to open.
type Options struct {
	// Brokers are the addresses (host:port) of the cluster, at least one.
	Brokers []string
	// ConsumerGroupPrefix is put before every group name: for several instances that
	// share one cluster.
	ConsumerGroupPrefix string
	// DrainTimeout is how long closing a subscriber waits for the messages in hand to
	// be acknowledged, 5 s if zero. After it their contexts end.
	DrainTimeout time.Duration
	Logger       *slog.Logger
	// Metrics, if set, gets the time of each publication.
	Metrics prometheus.Registerer
}

func (o *Options) setDefaults() error {
	if len(o.Brokers) == 0 {
		return errors.New("kafka: no brokers given")
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = defaultDrainTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Bus publishes to and subscribes at one cluster. Topics must be there (EnsureTopics):
// none is made by being named.
type Bus struct {
	options   Options
	publisher *publisher

	mu          sync.Mutex
	closed      bool
	subscribers []*subscriber
}

// Open connects to the cluster.
func Open(o Options) (*Bus, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	p, err := newPublisher(o)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return &Bus{options: o, publisher: p}, nil
}

// Publisher is the one publisher of the bus, for any number of callers at once: what
// they publish at the same time travels together. Its Close does nothing, as the router
// closes the publishers of its handlers; Bus.Close closes it.
func (b *Bus) Publisher() message.Publisher { return b.publisher }

// Subscriber is a member of a consumer group for each topic it subscribes to. Closing
// it, or ending a subscription's context, drains: no further message is
// handed out, those in hand are waited for, and what they acknowledged is committed.
// Messages' contexts therefore outlive the subscription's by up to DrainTimeout.
func (b *Bus) Subscriber(group string) (message.Subscriber, error) {
	if group == "" {
		return nil, errors.New("kafka: no consumer group given")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errors.New("kafka: bus is closed")
	}
	s := newSubscriber(b.options, b.options.ConsumerGroupPrefix+group)
	b.subscribers = append(b.subscribers, s)
	return s, nil
}

// Close drains the subscribers, then waits for publications under way and closes the
// connections. Close the routers first.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	subscribers := b.subscribers
	b.subscribers = nil
	b.mu.Unlock()

	var wg sync.WaitGroup
	errs := make([]error, len(subscribers)+1)
	for i, s := range subscribers {
		wg.Go(func() { errs[i] = s.Close() })
	}
	wg.Wait()
	errs[len(subscribers)] = b.publisher.shut()
	return errors.Join(errs...)
}

// publisher guards watermill's, which must not be used once it is closed.
type publisher struct {
	mu     sync.RWMutex
	closed bool
	inner  *wkafka.Publisher
	next   message.Publisher // inner, measured
}

func newPublisher(o Options) (*publisher, error) {
	inner, err := wkafka.NewPublisher(wkafka.PublisherConfig{
		Brokers:               o.Brokers,
		Marshaler:             wkafka.NewWithPartitioningMarshaler(partitionKey),
		OverwriteSaramaConfig: producerConfig(),
	}, busLog(o.Logger))
	if err != nil {
		return nil, err
	}
	p := &publisher{inner: inner, next: inner}
	if o.Metrics != nil {
		p.next, err = metrics.NewPrometheusMetricsBuilder(o.Metrics, metricsNamespace, metricsSubsystem).DecoratePublisher(inner)
		if err != nil {
			return nil, errors.Join(err, inner.Close())
		}
	}
	return p, nil
}

func partitionKey(_ string, m *message.Message) (string, error) {
	if key := m.Metadata.Get(PartitionKey); key != "" {
		return key, nil
	}
	return m.UUID, nil
}

func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return errors.New("kafka: bus is closed")
	}
	if err := p.next.Publish(topic, messages...); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

func (p *publisher) Close() error { return nil }

func (p *publisher) shut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.inner.Close()
}

// Deadlines of the wire.
const (
	netTimeout        = 10 * time.Second
	produceRetries    = 10
	produceRetryPause = 250 * time.Millisecond
	metadataRetries   = 4

	// A member that vanished without leaving keeps its partitions for the session
	// timeout. The others hear of a rebalance with their next heartbeat, which is what
	// starting several topics waits for.
	groupSessionTimeout   = 10 * time.Second
	groupHeartbeat        = 500 * time.Millisecond
	groupRebalanceTimeout = 15 * time.Second // a member whose handler takes longer is put out
	// A join returns when the members that vanished are put out. A member that gave
	// up waiting sooner would be one more that vanished, and the next join wait for it.
	groupNetTimeout      = groupRebalanceTimeout + netTimeout
	groupRetries         = 20
	groupRetryPause      = 250 * time.Millisecond
	offsetCommitInterval = 500 * time.Millisecond // what a crash delivers again
)

func clientConfig() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = clientID
	c.Version = oldestBroker
	c.Net.DialTimeout = dialTimeout
	c.Net.ReadTimeout = netTimeout
	c.Net.WriteTimeout = netTimeout
	c.Metadata.AllowAutoTopicCreation = false
	c.Metadata.Retry.Max = metadataRetries
	return c
}

// producerConfig waits for all in-sync replicas and keeps one request a broker in
// flight, which keeps the order of a partition through retries. It is not the
// idempotent producer: that one relies on what the broker remembers of it, and the
// embedded broker forgets when killed; consumers have to cope with repetition anyway.
func producerConfig() *sarama.Config {
	c := clientConfig()
	c.Net.MaxOpenRequests = 1
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = produceRetries
	c.Producer.Retry.Backoff = produceRetryPause
	return c
}

func consumerConfig() *sarama.Config {
	c := clientConfig()
	c.Net.ReadTimeout = groupNetTimeout
	c.Consumer.Return.Errors = true
	c.Consumer.Retry.Backoff = groupRetryPause
	c.Consumer.Offsets.Initial = sarama.OffsetOldest // a new group takes what waits
	c.Consumer.Offsets.AutoCommit.Interval = offsetCommitInterval
	c.Consumer.Group.Session.Timeout = groupSessionTimeout
	c.Consumer.Group.Heartbeat.Interval = groupHeartbeat
	c.Consumer.Group.Rebalance.Timeout = groupRebalanceTimeout
	c.Consumer.Group.Rebalance.Retry.Max = groupRetries
	c.Consumer.Group.Rebalance.Retry.Backoff = groupRetryPause
	return c
}
