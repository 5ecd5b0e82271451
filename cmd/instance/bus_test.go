package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recapito/adapters/kafka"

	"recapito/commands"
	"recapito/commands/delivery"
	"recapito/commands/sealing"
	"recapito/domain/event"
)

// TestComesAgain: what time mends is delivered again and holds its partition; what is
// the message's own fault must not.
func TestComesAgain(t *testing.T) {
	_, malformed := delivery.ParseDispatch(message.NewMessage("1", []byte("{}")))
	for _, c := range []struct {
		err  error
		want bool
	}{
		{event.ErrUnavailable, true},
		{event.ErrUnknownOutcome, true},
		{commands.ErrKeysUnavailable, true},
		{delivery.ErrDraining, true},
		{context.DeadlineExceeded, true},
		{sealing.ErrDamaged, false},
		{commands.ErrKeyAbsent, false},
		{event.ErrUnknownType, false},
		{malformed, false},
	} {
		if got := comesAgain(fmt.Errorf("taking an attempt: %w", c.err)); got != c.want {
			t.Errorf("%v: comes again %v, want %v", c.err, got, c.want)
		}
	}
}

type publisher struct{ err error }

func (p *publisher) Publish(string, ...*message.Message) error { return p.err }
func (p *publisher) Close() error                              { return nil }

// TestBusStateTellsOfDispatches: a broker that went away after the start is not up.
func TestBusStateTellsOfDispatches(t *testing.T) {
	b := &bus{connected: make(chan struct{})}
	if b.State() == nil {
		t.Error("it is up before it is connected")
	}
	p := &publisher{}
	b.set(&delivery.Topics{Publisher: p}, nil)
	dispatch := func() error {
		return b.Dispatch(t.Context(), delivery.DispatchMessage{Notification: "n", Attempt: 1}, "sms", "high")
	}
	away := errors.New("no broker")
	for _, p.err = range []error{nil, away, nil} {
		if err := dispatch(); !errors.Is(err, p.err) {
			t.Errorf("Dispatch: %v, want %v", err, p.err)
		}
		if err := b.State(); !errors.Is(err, p.err) {
			t.Errorf("State: %v, want %v", err, p.err)
		}
	}
}

// A topic that is deleted under way is made again, and consumed: a message that is not a
// dispatch reaches the dead letters, at once, before and after.
func TestDeletedTopicIsMadeAgain(t *testing.T) {
	broker, err := kafka.StartEmbedded(t.Context(), kafka.EmbeddedOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	registry := prometheus.NewRegistry()
	b := &bus{brokers: broker.Brokers(), channels: []string{"sms"}, metrics: registry, log: slog.New(slog.DiscardHandler), connected: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	topic := delivery.DispatchTopic("sms", "normal")
	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	dead := func() (n float64) {
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
	reaches := func() {
		t.Helper()
		was := dead()
		for deadline := time.Now().Add(time.Minute); dead() == was; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("no message of the topic is consumed")
			}
			produce, cancel := context.WithTimeout(t.Context(), time.Second)
			producer, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...)) // one that knows nothing of the deleted topic
			if err != nil {
				t.Fatal(err)
			}
			_ = producer.ProduceSync(produce, &kgo.Record{Topic: topic, Value: []byte("{")}).FirstErr() // again until it is there
			producer.Close()
			cancel()
		}
	}
	<-b.connected
	reaches()
	remove := kmsg.NewPtrDeleteTopicsRequest()
	named := kmsg.NewDeleteTopicsRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	remove.Topics, remove.TopicNames = append(remove.Topics, named), []string{topic}
	if _, err := remove.RequestWith(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if missing, err := kafka.MissingTopic(t.Context(), broker.Brokers(), kafka.WorkTopic(topic)); err != nil || missing != topic {
		t.Fatalf("missing is %q, %v", missing, err)
	}
	reaches()
}
