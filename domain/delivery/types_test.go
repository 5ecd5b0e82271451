package delivery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recapito/domain/catalogue"
	"recapito/domain/delivery"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// React takes every event of a notification, as the golden files have it, and asks for
// something only of those that leave something to do.
func TestReactTakesEveryEvent(t *testing.T) {
	asks := map[string]bool{
		"NotificationScheduled": true, "NotificationDispatched": true, "NotificationPostponed": true,
		"NotificationSent": true, "NotificationOutcomeUnknown": true, "NotificationUndelivered": true, "NotificationDelivered": true,
		"NotificationRequested": true, // it is planned already, and it expires
	}
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../catalogue/testdata/golden/Notification*.json")
	if err != nil || len(files) < len(asks) {
		t.Fatal("no golden files: ", err)
	}
	x := begin(t, notification.Request{}, notification.Delivered, 1).do(claim(0), outcome(s, took("a"), took("b")))
	second := x.state.Attempts[0]
	second.Facts.Attempt = 2 // the golden files are of attempt 2
	x.state.Attempts = append(x.state.Attempts, second)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		decoded, err := codec.Decode(t.Context(), nil, "", event.Recorded{Stream: notification.Stream(id), Type: name, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		got := delivery.React(id, x.state, delivery.Recorded{Event: decoded.(notification.Event)}, at(5*s))
		if (len(got) > 0) != asks[name] {
			t.Errorf("%s asks for %v", name, got)
		}
		delete(asks, name)
	}
	if len(asks) > 0 {
		t.Errorf("not among the golden files: %v", asks)
	}
}
