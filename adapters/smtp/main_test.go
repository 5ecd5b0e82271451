package smtp_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"recapito/adapters/smtp"
	"recapito/commands/channel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// runRoute opens a route and runs it until the test ends.
func runRoute(t *testing.T, s *smtp.Settings, o channel.Options) channel.Route {
	t.Helper()
	o.Name = "mail"
	r, err := s.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}
