package instance

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"recapito/adapters/rest"
	"recapito/adapters/smpp"
	"recapito/adapters/smtp"
	"recapito/cmd/config"
	"recapito/commands/channel"
	"recapito/domain/scenario"
)

// Kinds are the kinds of channel that there are. A new channel is one line here.
var Kinds = []channel.Kind{
	smpp.Kind,
	smtp.Kind,
	rest.Kind,
}

// openChannels opens every configured route. The sink passes on what routes receive; it
// is set before any route runs.
func (l *Instance) openChannels() (channel.Routes, *lateSink, error) {
	sink := &lateSink{}
	var routes channel.Routes
	for _, r := range l.Config.Routes {
		route, err := r.Own.Open(channel.Options{Name: r.Name, Receipts: sink, Replies: sink, Log: l.log})
		if err != nil {
			return nil, nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
		l.routes = append(l.routes, route)
		if c, ok := route.(prometheus.Collector); ok {
			l.registry.MustRegister(c)
		}
		routes = append(routes, channel.Configured{Name: r.Name, Kind: r.Kind, Form: r.Form(), Policy: r.Policy.Policy(), ReceiptWindow: r.Policy.Window(), Wire: route})
	}
	return routes, sink, nil
}

// ScenarioChannels returns the channels that scenarios are checked against.
func ScenarioChannels(c config.Config) scenario.Channels {
	channels := make(scenario.Channels, len(Kinds))
	for _, k := range Kinds {
		channels[k.Name] = scenario.Channel{Content: k.Content, Sender: k.Sender, Check: k.Check, Reports: k.Reports}
	}
	for _, r := range c.Routes {
		if k, ok := channels[r.Channel]; ok {
			if n, ok := r.Own.(channel.NeedsSender); ok && !k.Routed { // the first route is taken
				k.NeedsSender = n.NeedsSender()
			}
			k.Routed = true
			channels[r.Channel] = k
		}
	}
	return channels
}

// lateSink breaks the circle of routes and the receiver that needs their settings. It
// is set before any route runs.
type lateSink struct {
	to interface {
		channel.ReceiptSink
		channel.ReplySink
	}
}

func (s *lateSink) Receive(ctx context.Context, r channel.ProviderReceipt) error {
	return s.to.Receive(ctx, r)
}

func (s *lateSink) Reply(ctx context.Context, r channel.ProviderReply) error {
	return s.to.Reply(ctx, r)
}

// callbacks are the handlers of the routes whose providers report by HTTP.
func (l *Instance) callbacks() map[string]http.Handler {
	handlers := map[string]http.Handler{}
	for i, route := range l.routes {
		if c, ok := route.(channel.Callback); ok {
			handlers[l.Config.Routes[i].Name] = c.Callback()
		}
	}
	return handlers
}
