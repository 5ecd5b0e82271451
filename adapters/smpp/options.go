package smpp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"recapito/commands/channel"
)

// Defaults and limits of a route.
const (
	DefaultWindow          = 64
	DefaultBinds           = 1
	DefaultResponseTimeout = 10 * time.Second
	DefaultConnectTimeout  = 10 * time.Second
	DefaultKeepAlive       = 30 * time.Second
	DefaultWriteTimeout    = 10 * time.Second
	DefaultReceiptTimeout  = 10 * time.Second
	DefaultReceiptLimit    = 1024
	DefaultLateLimit       = 10_000
	DefaultLateTTL         = 10 * time.Minute
	DefaultDrainTimeout    = 5 * time.Second
	DefaultRebindMin       = 250 * time.Millisecond
	DefaultRebindMax       = 10 * time.Second
	DefaultThrottleMin     = 100 * time.Millisecond
	DefaultThrottleMax     = 5 * time.Second

	maxWindow   = 10_000
	maxBinds    = 64
	maxSystemID = 15 // octets (SMPP 3.4, 5.2.1)
	maxPassword = 8  // octets (SMPP 3.4, 5.2.2)
)

// RouteOptions is one route to an SMSC. Zero values get the defaults above.
type RouteOptions struct {
	Name     string // of the route, in logs, errors and receipts
	Addr     string // host:port
	SystemID string
	Password string
	// SystemType is what some providers ask for in the bind.
	SystemType string
	// TLS, if not nil, is used for the connection.
	TLS *tls.Config

	// Binds is how many sessions are held side by side, each with its own Window of
	// parts that wait for their answer (at least MaxUnits).
	Binds  int
	Window int

	// ResponseTimeout is how long an answer is waited for, if ctx gives longer.
	ResponseTimeout time.Duration
	ConnectTimeout  time.Duration
	WriteTimeout    time.Duration
	KeepAlive       time.Duration
	// ReceiptTimeout is how long the sink may take for one receipt; ReceiptLimit how
	// many it is given at once on each bind. Over it receipts are refused as temporary.
	ReceiptTimeout time.Duration
	ReceiptLimit   int
	// LateLimit and LateTTL bound how many messages without an answer are remembered,
	// and how long.
	LateLimit int
	LateTTL   time.Duration
	// DrainTimeout is how long Run waits for responses and receipts when it is stopped.
	DrainTimeout time.Duration
	// A lost session is bound again, and a throttled route used again, after a time
	// between these, doubled at each failure, with jitter.
	RebindMin, RebindMax     time.Duration
	ThrottleMin, ThrottleMax time.Duration

	// SendReference puts Message.Reference and the part's number in parameters of
	// ours on each submit_sm (wire.TagReference, wire.TagPart), and reads them off
	// receipts. For our simulator, and providers that echo vendor parameters.
	SendReference bool
	// Location is where the times in receipts are given; UTC if nil.
	Location *time.Location

	Sink   channel.ReceiptSink
	Logger *slog.Logger
	Now    func() time.Time
}

func (o RouteOptions) withDefaults() RouteOptions {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	orInt(&o.Binds, DefaultBinds)
	orInt(&o.Window, DefaultWindow)
	o.Window = max(o.Window, MaxUnits)
	orInt(&o.ReceiptLimit, DefaultReceiptLimit)
	orInt(&o.LateLimit, DefaultLateLimit)
	or(&o.ResponseTimeout, DefaultResponseTimeout)
	or(&o.ConnectTimeout, DefaultConnectTimeout)
	or(&o.WriteTimeout, DefaultWriteTimeout)
	or(&o.KeepAlive, DefaultKeepAlive)
	or(&o.ReceiptTimeout, DefaultReceiptTimeout)
	or(&o.LateTTL, DefaultLateTTL)
	or(&o.DrainTimeout, DefaultDrainTimeout)
	or(&o.RebindMin, DefaultRebindMin)
	or(&o.RebindMax, max(o.RebindMin, DefaultRebindMax))
	or(&o.ThrottleMin, DefaultThrottleMin)
	or(&o.ThrottleMax, max(o.ThrottleMin, DefaultThrottleMax))
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// validate joins every problem.
func (o RouteOptions) validate() error {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(o.Name != "", "a route has no name")
	check(o.Addr != "", "route %q has no address", o.Name)
	check(o.Sink != nil, "route %q has no receipt sink", o.Name)
	check(len(o.SystemID) <= maxSystemID, "route %q: system_id is over %d octets", o.Name, maxSystemID)
	check(len(o.Password) <= maxPassword, "route %q: password is over %d octets", o.Name, maxPassword)
	check(o.Window > 0 && o.Window <= maxWindow, "route %q: window is not within 1..%d", o.Name, maxWindow)
	check(o.Binds > 0 && o.Binds <= maxBinds, "route %q: binds is not within 1..%d", o.Name, maxBinds)
	check(o.ReceiptLimit > 0 && o.LateLimit > 0, "route %q: a limit is negative", o.Name)
	for _, d := range []time.Duration{o.ResponseTimeout, o.ConnectTimeout, o.WriteTimeout, o.KeepAlive, o.ReceiptTimeout,
		o.LateTTL, o.DrainTimeout, o.RebindMin, o.RebindMax, o.ThrottleMin, o.ThrottleMax} {
		check(d > 0, "route %q: a duration is negative", o.Name)
	}
	return errors.Join(problems...)
}
