package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"syscall"

	"recapito/commands/channel/netguard"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"recapito/api"
	"recapito/commands"
)

// listen opens the ports, so that a port that is taken is an error of the start, and wires
// what is served on them: the HTTP API and the metrics.
func (l *Instance) listen(scenarios commands.Scenarios) error {
	for _, addr := range []string{l.Config.HTTP.Addr, l.Config.Metrics.Addr} {
		listener, err := net.Listen("tcp", addr)
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("%s is taken (by another instance?): `--http 127.0.0.1:0` picks free ports", addr)
			}
			return fmt.Errorf("listening: %w", err)
		}
		l.open = append(l.open, listener)
	}
	l.RunFile.HTTP, l.RunFile.Metrics = l.open[0].Addr().String(), l.open[1].Addr().String()
	l.RunFile.PID = os.Getpid()
	if embedded, ok := l.Engines.Events.(*Embedded); ok {
		l.RunFile.EventStore, l.RunFile.EventStorePassword = embedded.Addr(), embedded.Password
	}
	if l.Engines.broker != nil {
		l.RunFile.Kafka = l.Engines.broker.Addr()
	}
	if l.Engines.ClickHouse != nil {
		l.RunFile.ClickHouse = hostPort(l.Engines.clickHouseURL)
		l.RunFile.ClickHousePassword = l.Engines.ClickHouse.Password()
	}
	l.http = api.NewServer(api.New(l.apiOptions(scenarios)), l.log)
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(l.registry, promhttp.HandlerOpts{}))
	if netguard.IsLoopback(l.RunFile.Metrics) { // profiles are for operators on this machine
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	l.metrics = api.NewServer(mux, l.log)
	return nil
}

func (l *Instance) closeListeners() error {
	var problems []error
	for _, listener := range l.open {
		problems = append(problems, listener.Close())
	}
	return errors.Join(problems...)
}

func serveUntilClosed(s *http.Server, on net.Listener) error {
	if err := s.Serve(on); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", on.Addr(), err)
	}
	return nil
}

func shutdown(ctx context.Context, s *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, drainHTTP)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
