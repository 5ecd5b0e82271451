package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"recapito/adapters/kafka"
)

// The tests run against the embedded broker, and against the cluster that
// RECAPITO_TEST_KAFKA (host:port,…) names, if it is set. Names of topics and groups are
// fresh in each test, so they may share that cluster.
const peerVariable = "RECAPITO_TEST_KAFKA"

// brokerVariable makes the test binary a broker of its own process: "folder|address".
const brokerVariable = "RECAPITO_TEST_BROKER"

// patience is how long a test waits for what should happen within a second or two.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if folder, addr, ok := strings.Cut(os.Getenv(brokerVariable), "|"); ok {
		os.Exit(runBroker(folder, addr))
	}
	goleak.VerifyTestMain(m,
		// sarama's metrics have one clock for the life of the process.
		goleak.IgnoreAnyFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"),
	)
}

// runBroker is the child process that a test kills.
func runBroker(folder, addr string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	e, err := kafka.StartEmbedded(ctx, kafka.EmbeddedOptions{Dir: folder, Addr: addr})
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("listening", e.Addr())
	<-ctx.Done()
	if err := e.Close(); err != nil {
		return 1
	}
	return 0
}

// brokers gives the cluster under test.
func brokers(t testing.TB) []string {
	t.Helper()
	if peers := os.Getenv(peerVariable); peers != "" {
		return strings.Split(peers, ",")
	}
	return embedded(t, t.TempDir()).Brokers()
}

func embedded(t testing.TB, dir string) *kafka.Embedded {
	t.Helper()
	e, err := kafka.StartEmbedded(t.Context(), kafka.EmbeddedOptions{Dir: dir, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func logger(t testing.TB) *slog.Logger {
	level := slog.LevelError + 1
	if testing.Verbose() {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}

func open(t testing.TB, brokers []string) *kafka.Bus {
	t.Helper()
	b, err := kafka.Open(kafka.Options{Brokers: brokers, ConsumerGroupPrefix: "test-", Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, b) })
	return b
}

func shut(t testing.TB, b *kafka.Bus) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// freshTopics makes work topics and their dead-letter topics.
func freshTopics(t testing.TB, brokers []string, n int) []string {
	t.Helper()
	names := make([]string, n)
	var topics []kafka.Topic
	for i := range names {
		names[i] = "test." + uuid.NewString()
		topics = append(topics, kafka.WorkTopic(names[i]), kafka.DeadTopic(names[i]))
	}
	if err := kafka.EnsureTopics(t.Context(), brokers, topics...); err != nil {
		t.Fatal(err)
	}
	return names
}

func subscriber(t testing.TB, b *kafka.Bus, group string) message.Subscriber {
	t.Helper()
	s, err := b.Subscriber(group)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newMessage(key, body string) *message.Message {
	m := message.NewMessage(uuid.NewString(), []byte(body))
	m.Metadata.Set(kafka.PartitionKey, key)
	return m
}

func publish(t testing.TB, b *kafka.Bus, topic string, messages ...*message.Message) {
	t.Helper()
	if err := b.Publisher().Publish(topic, messages...); err != nil {
		t.Fatal(err)
	}
}

// runRouter runs a router until the test ends.
func runRouter(t testing.TB, o kafka.RouterOptions, add func(*message.Router)) *message.Router {
	t.Helper()
	o.Logger = logger(t)
	r, err := kafka.NewRouter(o)
	if err != nil {
		t.Fatal(err)
	}
	add(r)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-r.Running():
	case err := <-ended:
		ended <- err
		t.Fatal("router ended early:", err)
	case <-time.After(patience):
		t.Fatal("router does not start")
	}
	return r
}

// seen counts what handlers got.
type seen struct {
	mu      sync.Mutex
	order   []string
	counts  map[string]int
	changed chan struct{}
}

func newSeen() *seen { return &seen{counts: map[string]int{}, changed: make(chan struct{}, 1)} }

func (s *seen) add(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, what)
	s.counts[what]++
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.counts[what]
}

func (s *seen) distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts)
}

func (s *seen) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.order...)
}

// await waits until n different ones were seen.
func (s *seen) await(t testing.TB, n int) {
	t.Helper()
	limit := time.After(patience)
	for s.distinct() < n {
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("saw %d of %d", s.distinct(), n)
		}
	}
}

func receive(t testing.TB, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		if !ok {
			t.Fatal("subscription ended")
		}
		return m
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return nil
}
