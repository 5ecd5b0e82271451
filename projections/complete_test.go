package projections

import (
	"encoding/json"
	"reflect"
	"testing"

	"recapito/domain/catalogue"
	"recapito/domain/event"
	"recapito/domain/notification"
	"recapito/domain/personal/personaltest"
	"recapito/readmodels"
)

// An event that changes what the view notifications shows of the state has more in its
// partial row than what every event has: no projection has to name an event that it
// ignores, and none forgets one that it must not ignore.
func TestNoEventThatChangesTheStateIsIgnored(t *testing.T) {
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	begun := notification.Decider.Initial()
	changing := 0
	for _, sample := range notification.Module.Samples() {
		e := sample.(notification.Event)
		before := begun
		switch e.(type) { //nolint:gochecksumtype // the others happen to the second attempt, which is scheduled
		case notification.NotificationRequested, notification.NotificationEnriched:
			begun = notification.Evolve(begun, e)
		case notification.NotificationScheduled:
			before = notification.Evolve(before, e)
			begun = notification.Evolve(before, e)
		}
		after := notification.Evolve(before, e)
		if shownOf(&before) == shownOf(&after) {
			continue
		}
		changing++
		part, err := notificationPart(codec, stored(t, codec, e))
		if err != nil {
			t.Fatal(err)
		}
		if common := (readmodels.PartialNotification{
			Tenant: part.Tenant, Notification: part.Notification, Dimensions: part.Dimensions, ScenarioFrom: part.ScenarioFrom, Person: part.Person,
			RequestedAt: part.RequestedAt, LastEventAt: part.LastEventAt, Highest: part.Highest, Steps: part.Steps, Changed: part.Changed,
		}); reflect.DeepEqual(*part, common) {
			t.Errorf("%T changes the state (%s → %s), and its row in notifications only says that it happened", e, shownOf(&before), shownOf(&after))
		}
	}
	if changing < 16 {
		t.Errorf("only %d events change the state", changing)
	}
}

// shownOf is what the view notifications shows of a state.
func shownOf(s *notification.State) string {
	shown, err := json.Marshal([]any{
		s.Lifecycle(), s.Final(), s.Reached, s.Step, len(s.Plan.Steps), len(s.Attempts), s.Replies, s.Payments,
		s.Enriched, s.Rejected, s.Suppressed, s.Cancelled, s.Expired, s.Exhausted,
	})
	if err != nil {
		panic(err)
	}
	return string(shown)
}

func stored(t *testing.T, codec *event.Codec, e any) LedgerEvent {
	t.Helper()
	stream := notification.Module.Stream
	name, data, err := codec.Encode(t.Context(), personaltest.Sealer{}, "acme", stream, e)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := event.EncodeMetadata(event.Metadata{Tenant: "acme", Actor: "system:test", CorrelationID: "c", CausationID: "d"})
	if err != nil {
		t.Fatal(err)
	}
	return LedgerEvent{Recorded: event.Recorded{Stream: stream, ID: "id", Type: name, Data: data, Metadata: metadata}}
}
