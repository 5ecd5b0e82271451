package kafka_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"recapito/adapters/kafka"
)

func TestMessagesArriveWhole(t *testing.T) {
	addresses := brokers(t)
	b := open(t, addresses)
	topic := freshTopics(t, addresses, 1)[0]
	sent := newMessage("k", "body")
	sent.Metadata.Set("correlation_id", "c-1")
	publish(t, b, topic, sent) // before anyone subscribes: it waits

	messages, err := subscriber(t, b, "whole").Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, messages)
	got.Ack()
	if got.UUID != sent.UUID || string(got.Payload) != "body" {
		t.Errorf("got %s %q", got.UUID, got.Payload)
	}
	if diff := cmp.Diff(sent.Metadata, got.Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestOneKeyKeepsItsOrder(t *testing.T) {
	addresses := brokers(t)
	b := open(t, addresses)
	topic := freshTopics(t, addresses, 1)[0]
	const keys, each = 20, 30
	got := make(map[string][]string)
	all := newSeen()
	var mu sync.Mutex
	runRouter(t, kafka.RouterOptions{Publisher: b.Publisher()}, func(r *message.Router) {
		r.AddConsumerHandler("order", topic, subscriber(t, b, "order"), func(m *message.Message) error {
			key, value, _ := strings.Cut(string(m.Payload), "/")
			mu.Lock()
			got[key] = append(got[key], value)
			mu.Unlock()
			all.add(string(m.Payload))
			return nil
		})
	})
	var wg sync.WaitGroup
	for k := range keys {
		wg.Go(func() {
			for i := range each {
				key := fmt.Sprint("k", k)
				if err := b.Publisher().Publish(topic, newMessage(key, fmt.Sprintf("%s/%03d", key, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all.await(t, keys*each)
	mu.Lock()
	defer mu.Unlock()
	for key, values := range got {
		for i := 1; i < len(values); i++ {
			if values[i] < values[i-1] {
				t.Fatalf("%s: %s after %s", key, values[i], values[i-1])
			}
		}
	}
}

func TestMembersShareThePartitions(t *testing.T) {
	addresses := brokers(t)
	b := open(t, addresses)
	topic := freshTopics(t, addresses, 1)[0]
	other := open(t, addresses)
	var mu sync.Mutex
	byMember := map[string]map[int32]bool{"a": {}, "b": {}}
	shared := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(byMember["a"]) > 0 && len(byMember["b"]) > 0
	}
	all := newSeen()
	for name, member := range map[string]*kafka.Bus{"a": b, "b": other} {
		runRouter(t, kafka.RouterOptions{Publisher: member.Publisher()}, func(r *message.Router) {
			r.AddConsumerHandler(name, topic, subscriber(t, member, "shared"), func(m *message.Message) error {
				partition, _ := wkafka.MessagePartitionFromCtx(m.Context())
				mu.Lock()
				byMember[name][partition] = true
				mu.Unlock()
				all.add(m.UUID)
				return nil
			})
		})
	}
	// Both have a part as soon as the group has settled; until then one may get all.
	published := 0
	for limit := time.Now().Add(patience); !shared(); {
		if time.Now().After(limit) {
			t.Fatal("one member got everything")
		}
		for range 2 * kafka.Partitions {
			m := newMessage(fmt.Sprint(published), "x")
			publish(t, b, topic, m)
			published++
		}
		all.await(t, published)
	}
	// With one member gone the other gets everything.
	shut(t, other)
	for range 2 * kafka.Partitions {
		publish(t, b, topic, newMessage(fmt.Sprint(published), "x"))
		published++
	}
	all.await(t, published)
}

func TestPoisonGoesToTheDeadLetters(t *testing.T) {
	addresses := brokers(t)
	b := open(t, addresses)
	topic := freshTopics(t, addresses, 1)[0]
	registry := prometheus.NewRegistry()
	handled := newSeen()
	garbled := errors.New("garbled")
	runRouter(t, kafka.RouterOptions{
		Publisher: b.Publisher(), Retries: 2, RetryInterval: time.Millisecond, Metrics: registry,
		Hopeless: func(err error) bool { return errors.Is(err, garbled) },
	}, func(r *message.Router) {
		r.AddConsumerHandler("poison", topic, subscriber(t, b, "poison"), func(m *message.Message) error {
			switch body := string(m.Payload); body {
			case "bad":
				handled.add(body)
				return errors.New("cannot be understood")
			case "hopeless": // tried once
				handled.add(body)
				return garbled
			case "panics":
				handled.add(body)
				panic("a value nobody may see")
			case "once": // the first try fails
				if handled.add("try") == 1 {
					return errors.New("not now")
				}
				handled.add(body)
			default:
				handled.add(body)
			}
			return nil
		})
	})
	// All in one partition: those behind the poison must pass.
	publish(t, b, topic, newMessage("k", "first"), newMessage("k", "bad"), newMessage("k", "hopeless"), newMessage("k", "panics"),
		newMessage("k", "once"), newMessage("k", "last"))
	handled.await(t, 7)
	want := []string{"first", "bad", "bad", "bad", "hopeless", "panics", "panics", "panics", "try", "try", "once", "last"}
	if diff := cmp.Diff(want, handled.list()); diff != "" {
		t.Error(diff)
	}

	dead, err := subscriber(t, b, "undertaker").Subscribe(t.Context(), kafka.DeadTopicName(topic))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ body, reason string }{
		{"bad", "cannot be understood"}, {"hopeless", "garbled"}, {"panics", "handler panicked with a string"},
	} {
		m := receive(t, dead)
		m.Ack()
		if string(m.Payload) != want.body {
			t.Errorf("dead letter %q, want %q", m.Payload, want.body)
		}
		if reason := m.Metadata.Get(middleware.ReasonForPoisonedKey); reason != want.reason {
			t.Errorf("reason %q, want %q", reason, want.reason)
		}
		if from := m.Metadata.Get(middleware.PoisonedTopicKey); from != topic {
			t.Errorf("from topic %q", from)
		}
	}
	if n := deadLetters(t, registry); n != 3 {
		t.Errorf("metric counts %v dead letters", n)
	}
}

func deadLetters(t *testing.T, registry *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "recapito_bus_dead_letters_total" {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func TestRedeliveredErrorsAreNotPoison(t *testing.T) {
	addresses := brokers(t)
	b := open(t, addresses)
	topic := freshTopics(t, addresses, 1)[0]
	errDown := errors.New("store is down")
	handled := newSeen()
	runRouter(t, kafka.RouterOptions{
		Publisher: b.Publisher(), Retries: -1,
		Redeliver: func(err error) bool { return errors.Is(err, errDown) },
	}, func(r *message.Router) {
		r.AddConsumerHandler("redeliver", topic, subscriber(t, b, "redeliver"), func(m *message.Message) error {
			if handled.add("tries") < 4 {
				return errDown
			}
			handled.add("done")
			return nil
		})
	})
	publish(t, b, topic, newMessage("k", "x"))
	handled.await(t, 2)
	if n := len(handled.list()); n != 5 {
		t.Errorf("%d calls, want 4 tries and one done", n)
	}
}

func TestCloseDrains(t *testing.T) {
	addresses := brokers(t)
	topic := freshTopics(t, addresses, 1)[0]
	first := open(t, addresses)
	started, release := make(chan struct{}, 1), make(chan struct{})
	handled := newSeen()
	router := runRouter(t, kafka.RouterOptions{Publisher: first.Publisher()}, func(r *message.Router) {
		r.AddConsumerHandler("drain", topic, subscriber(t, first, "drain"), func(m *message.Message) error {
			handled.add(string(m.Payload))
			started <- struct{}{}
			<-release
			return m.Context().Err() // must not have ended
		})
	})
	publish(t, first, topic, newMessage("k", "in hand"), newMessage("k", "behind"))
	<-started
	closed := make(chan error, 1)
	go func() { closed <- router.Close() }()
	select {
	case err := <-closed:
		t.Fatal("closed with a message in hand:", err)
	case <-time.After(200 * time.Millisecond): // it waits
	}
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"in hand"}, handled.list()); diff != "" {
		t.Error("handled before closing:", diff)
	}
	shut(t, first)
	if err := first.Publisher().Publish(topic, newMessage("k", "x")); err == nil {
		t.Error("a closed bus publishes")
	}

	// What was in hand is committed: the next one starts behind it.
	second := open(t, addresses)
	messages, err := subscriber(t, second, "drain").Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, messages)
	m.Ack()
	if string(m.Payload) != "behind" {
		t.Errorf("after the restart came %q", m.Payload)
	}
}

func TestUnknownTopicIsAnError(t *testing.T) {
	b := open(t, brokers(t))
	if err := b.Publisher().Publish("test.not-there", newMessage("k", "x")); err == nil {
		t.Error("published to a topic that nobody made")
	}
}

func TestEnsureTopicsTwice(t *testing.T) {
	addresses := brokers(t)
	topic := freshTopics(t, addresses, 1)[0]
	for range 2 {
		if err := kafka.EnsureTopics(t.Context(), addresses, kafka.WorkTopic(topic)); err != nil {
			t.Fatal(err)
		}
	}
	if err := kafka.EnsureTopics(t.Context(), addresses, kafka.Topic{Name: topic + ".other"}); err == nil {
		t.Error("made a topic without partitions")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := kafka.Open(kafka.Options{}); err == nil {
		t.Error("opened without brokers")
	}
	if _, err := kafka.NewRouter(kafka.RouterOptions{}); err == nil {
		t.Error("made a router without a place for dead letters")
	}
	if _, err := kafka.StartEmbedded(t.Context(), kafka.EmbeddedOptions{}); err == nil {
		t.Error("started without a folder")
	}
}
