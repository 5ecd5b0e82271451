package kafka_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"recapito/adapters/kafka"
)

// BenchmarkPublish: 64 publishers, one message each at a time, over three topics.
func BenchmarkPublish(b *testing.B) {
	addresses := brokers(b)
	bus := open(b, addresses)
	topics := freshTopics(b, addresses, 3)
	const publishers = 64
	b.SetParallelism(publishers / 2) // of GOMAXPROCS
	var n atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			m := newMessage(strconv.FormatInt(i, 10), `{"tenant":"default","notification":"0192f0c1-2222-7333-8444-555566667777","attempt":1}`)
			if err := bus.Publisher().Publish(topics[i%3], m); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkConsume: a handler that waits 3 ms, as one does for a synced append, over one
// topic and over three.
func BenchmarkConsume(b *testing.B) {
	for _, count := range []int{1, 3} {
		b.Run(fmt.Sprint("topics=", count), func(b *testing.B) {
			addresses := brokers(b)
			bus := open(b, addresses)
			topics := freshTopics(b, addresses, count)
			done := make(chan struct{})
			var n atomic.Int64
			var first atomic.Pointer[time.Time]
			// What is measured must not be held up by publishing: all is there before.
			batch := make([]*message.Message, b.N)
			for i := range batch {
				batch[i] = newMessage(strconv.Itoa(i), "x")
			}
			publishAll(b, bus, topics, batch)
			b.ResetTimer()
			runRouter(b, kafka.RouterOptions{Publisher: bus.Publisher()}, func(r *message.Router) {
				for i, topic := range topics {
					r.AddConsumerHandler(strconv.Itoa(i), topic, subscriber(b, bus, "bench"), func(*message.Message) error {
						now := time.Now()
						first.CompareAndSwap(nil, &now)
						time.Sleep(3 * time.Millisecond)
						if n.Add(1) == int64(b.N) {
							close(done)
						}
						return nil
					})
				}
			})
			<-done
			b.ReportMetric(float64(b.N)/time.Since(*first.Load()).Seconds(), "msgs/s")
		})
	}
}

func publishAll(b *testing.B, bus *kafka.Bus, topics []string, messages []*message.Message) {
	b.Helper()
	const publishers = 64
	errs := make(chan error, publishers)
	for p := range publishers {
		go func() {
			for i := p; i < len(messages); i += publishers {
				if err := bus.Publisher().Publish(topics[i%len(topics)], messages[i]); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range publishers {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}
