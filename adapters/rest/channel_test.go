package rest_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/commands/channel/channeltest"
)

// TestChannel: a route against a service over TCP is a channel.
func TestChannel(t *testing.T) {
	for _, keepAlive := range []bool{true, false} {
		t.Run(map[bool]string{true: "keep-alive", false: "a connection a call"}[keepAlive], func(t *testing.T) {
			channeltest.Run(t, func(t *testing.T, sink channel.ReceiptSink) channeltest.Peer { return peer(t, sink, keepAlive) })
		})
	}
}

func peer(t *testing.T, sink channel.ReceiptSink, keepAlive bool) channeltest.Peer {
	far := newService(t)
	far.Server.Config.SetKeepAlivesEnabled(keepAlive)
	s := withCallbacks(settings(far.URL))
	s.Connections = 8
	r := open(t, s, channel.Options{Receipts: sink})
	far.token = secret
	far.callbacks = httptest.NewServer(r.Callback())
	run(t, r)
	return channeltest.Peer{
		Channel:  r,
		Message:  func(n, _ int) channel.Message { return message(n, `{"day":"2026-12-01"}`) },
		MaxUnits: 1,
		Capacity: s.Connections,
		Late:     true,
		Receipts: true,
		Cut: func() {
			far.Server.CloseClientConnections()
			far.callbacks.CloseClientConnections()
		},
		Down: func() {
			far.Server.CloseClientConnections()
			far.Server.Listener.Close()
			// A connection that is still open may take one more message; the next is refused.
			eventually(t, "a call cannot connect", func() bool {
				far.Server.CloseClientConnections()
				r.Send(within(t, time.Second), message(9, "{}"), always, nil)
				return r.State() != nil
			})
		},
		Behave: func(b channeltest.Behaviour) {
			far.mu.Lock()
			defer far.mu.Unlock()
			far.behave = b
		},
		Arrived: far.arrivals,
	}
}

func TestKind(t *testing.T) {
	if rest.Kind.Name != "rest" || rest.Kind.Address.Name != "user" || rest.Kind.Content.Name != "rest" {
		t.Errorf("kind %+v", rest.Kind.Name)
	}
	for _, c := range rest.Kind.Codes.List() {
		if got, ok := rest.Kind.Codes.Lookup(c.Code); !ok || got != c || c.Meaning == "" || c.Class == "" {
			t.Errorf("%s: %+v, %t", c.Code, got, ok)
		}
	}
	for code, want := range map[string]channel.Class{"http_599": channel.Transient, "http_499": channel.Permanent, "E17": channel.Permanent} {
		if got, ok := rest.Kind.Codes.Lookup(code); ok || got.Class != want {
			t.Errorf("%s: %+v, %t", code, got, ok)
		}
	}
	for sender, ok := range map[string]bool{"Recapito": true, "": false, "a\r\nb": false} {
		if err := rest.Kind.Sender(sender); (err == nil) != ok {
			t.Errorf("sender %q: %v", sender, err)
		}
	}
	if _, err := rest.Kind.Settings().Open(channel.Options{Name: "r"}); err == nil {
		t.Error("a route without a URL was opened")
	}
}
