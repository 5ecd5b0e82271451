package catalogue_test

import (
	"encoding/json"
	"testing"

	"recapito/domain/event"
	"recapito/domain/notification"
)

// BenchmarkDecode reads the events that there are most of, and compares with encoding/json.
func BenchmarkDecode(b *testing.B) {
	codec := codec(b)
	delivered := samples(b)["NotificationDelivered"].event
	name, data, err := codec.Encode(b.Context(), nil, "acme", "notification-1", delivered)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.Decode(b.Context(), nil, "acme", event.Recorded{Stream: "notification-1", Type: name, Data: data}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var e notification.NotificationDelivered
			if err := json.Unmarshal(data, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}
