package instance

import (
	"testing"

	"recapito/adapters/smtp"
	"recapito/cmd/config"
)

// TestTheFirstRouteGivesTheSender of messages that name none.
func TestTheFirstRouteGivesTheSender(t *testing.T) {
	with, without := &smtp.Settings{Sender: "a@example.org"}, &smtp.Settings{}
	for _, test := range []struct {
		routes []config.Route
		needed bool
	}{
		{nil, false},
		{[]config.Route{{Channel: "email", Own: with}}, false},
		{[]config.Route{{Channel: "email", Own: without}}, true},
		{[]config.Route{{Channel: "email", Own: without}, {Channel: "email", Own: with}}, true},
		{[]config.Route{{Channel: "email", Own: with}, {Channel: "email", Own: without}}, false},
	} {
		c := ScenarioChannels(config.Config{Routes: test.routes})["email"]
		if c.NeedsSender != test.needed || c.Routed != (len(test.routes) > 0) {
			t.Errorf("%d routes: needs a sender %v, want %v", len(test.routes), c.NeedsSender, test.needed)
		}
	}
}
