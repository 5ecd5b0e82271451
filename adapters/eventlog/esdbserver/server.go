package esdbserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"recapito/commands/channel/netguard"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver/persistent"
)

// Limits of a connection. A message may be larger than an append (eventlog's limits),
// so that one that is too large gets the protocol's reply.
const (
	maxMessageBytes   = 16 << 20
	maxStreamsPerConn = 4096 // calls at a time
	minPing           = 5 * time.Second
	pingEvery         = 10 * time.Second
	pingTimeout       = 10 * time.Second
	readBufferBytes   = 64 << 10
	writeBufferBytes  = 64 << 10
	handshakeTimeout  = 10 * time.Second
)

// Options of a server. Log and Addr are required.
type Options struct {
	Log  *eventlog.Log
	Addr string // host:port; port 0 takes a free one
	// TLS, if set, is the only way in. Password, if set, is that of the user admin, and
	// LedgerPassword that of LedgerUser; with one of them set nobody else is let in. They
	// need TLS, except on loopback addresses.
	TLS            *tls.Config
	Password       string
	LedgerPassword string
	Policy         Policy
	// Advertise is the host:port given to clients that look for the leader; empty
	// means the address listened on.
	Advertise string

	Logger *slog.Logger     // nil means slog.Default
	Now    func() time.Time // nil means time.Now
}

// Server is listening from New on, and serves once Serve is called.
type Server struct {
	options  Options
	listener net.Listener
	grpc     *grpc.Server
	groups   *persistent.Manager // nil if what is stored of them cannot be read
	id       uuid.UUID           // of this node, in gossip
	stopping context.Context
	stop     context.CancelFunc
}

// New listens, so that a port that is taken is an error of the start.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		return nil, errors.New("serve the event store: no log given")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := checkAddr(o); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("serve the event store: %w", err)
	}
	s := &Server{options: o, listener: listener, id: uuid.New()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	users := newAuthenticator(o)
	s.grpc = grpc.NewServer(s.grpcOptions(users)...)
	streams.RegisterStreamsServer(s.grpc, &streamsService{log: o.Log, logger: o.Logger, now: o.Now, stopping: s.stopping, users: users, policy: o.Policy})
	s.groups, err = openGroups(o)
	if err != nil {
		o.Logger.Error("event store: persistent subscriptions are not served", "error", err)
	}
	subscriptions.RegisterPersistentSubscriptionsServer(s.grpc, &groupsService{groups: s.groups, logger: o.Logger, stopping: s.stopping})
	serverfeatures.RegisterServerFeaturesServer(s.grpc, featuresService{})
	gossip.RegisterGossipServer(s.grpc, &gossipService{server: s})
	return s, nil
}

func (s *Server) grpcOptions(users authenticator) []grpc.ServerOption {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.MaxConcurrentStreams(maxStreamsPerConn),
		grpc.ReadBufferSize(readBufferBytes),
		grpc.WriteBufferSize(writeBufferBytes),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
	}
	if s.options.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(s.options.TLS)))
	}
	return append(options, grpc.UnaryInterceptor(users.unary), grpc.StreamInterceptor(users.stream))
}

// Addr is host:port as listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve serves until Close; then it returns nil.
func (s *Server) Serve() error {
	if err := s.grpc.Serve(s.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve the event store: %w", err)
	}
	return nil
}

// Close takes no more calls, ends reads and subscriptions, lets appends finish, and cuts
// off what is still there when ctx ends. At last persistent subscriptions write how far
// they are.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	defer func() {
		_ = s.listener.Close() // Serve may never have been called
		if s.groups != nil {
			s.groups.Close()
		}
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.grpc.Stop()
	<-done
	return fmt.Errorf("close the event store's server: calls were cut off: %w", context.Cause(ctx))
}

// checkAddr refuses to show the store to the network without TLS and a password.
func checkAddr(o Options) error {
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return fmt.Errorf("address of the event store: %w", err)
	}
	if o.TLS != nil && o.Password != "" || netguard.IsLoopbackHost(host) {
		return nil
	}
	return errors.New("address of the event store: without TLS and a password it only listens on a loopback address")
}
