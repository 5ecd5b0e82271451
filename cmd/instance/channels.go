package instance

import (
	"context"
	"fmt"

	"recapito/adapters/smpp"
	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
)

// openChannels opens every route of every channel. The sink passes on what routes receive;
// it is set before any route runs.
func (l *Instance) openChannels() (channel.Routes, *lateSink, error) {
	sink := &lateSink{}
	var routes channel.Routes
	for _, r := range l.Config.Routes {
		wire, err := smpp.NewRoute(smpp.RouteOptions{
			Name: r.Name, Addr: r.Addr, SystemID: r.SystemID, Password: r.Password, Binds: r.Binds, Window: r.Window,
			SendReference: r.EchoesReference, Sink: sink, Logger: l.log,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("route %s: %w", r.Name, err)
		}
		l.routes = append(l.routes, wire)
		routes = append(routes, channel.Configured{Name: r.Name, Kind: smsKind, Form: r.IDForm, Policy: r.Policy(), Wire: wire})
	}
	return routes, sink, nil
}

// lateSink breaks the circle of routes and the receiver that needs their settings. It
// is set before any route runs.
type lateSink struct{ to channel.ReceiptSink }

func (s *lateSink) Receive(ctx context.Context, r channel.ProviderReceipt) error {
	return s.to.Receive(ctx, r)
}

// smsKind is the kind of the one channel that is built so far.
var smsKind = channel.Kind{Name: "sms", Address: address.Phone, Content: content.SMS}
