package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// How often the embedded broker drops what is past its retention, if not set.
const defaultMaintenance = time.Minute

// EmbeddedOptions configures the embedded broker.
type EmbeddedOptions struct {
	// Dir is the broker's own folder; made if it is missing. A folder that was emptied
	// while the broker was stopped starts anew, with another Generation.
	Dir string
	// Addr is the address to listen on, "127.0.0.1:0" if empty. Clients are given
	// this address, so it must be one they can reach: not a wildcard.
	Addr   string
	Logger *slog.Logger
	// MaintenanceEvery is how often retention and compaction run; a minute if zero.
	MaintenanceEvery time.Duration
}

// Embedded is a Kafka broker in this process, with its topics in a folder. It is for the
// clients of this process, which end with it: a client of another process that is killed
// while it joins a consumer group stays a member, and holds partitions, until the broker
// ends (kfake times no member whose connection was lost before its reply).
type Embedded struct {
	cluster *kfake.Cluster
	lock    *os.File
	addr    string

	stop func()
	done chan struct{}
	once sync.Once
	err  error
}

// StartEmbedded starts the broker; it serves when this returns. ctx bounds the start
// only. ErrLocked: another process has the folder.
func StartEmbedded(ctx context.Context, o EmbeddedOptions) (*Embedded, error) {
	if o.Dir == "" {
		return nil, errors.New("embedded kafka: no folder given")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaintenanceEvery == 0 {
		o.MaintenanceEvery = defaultMaintenance
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	lock, err := lockFile(ctx, filepath.Join(o.Dir, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("embedded kafka: %w", err)
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, o.Addr) }),
		kfake.DataDir(filepath.Join(o.Dir, "broker")),
		kfake.WithLogger(brokerLog{o.Logger}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded kafka: %w", err), lock.Close())
	}
	keepCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &Embedded{
		cluster: cluster,
		lock:    lock,
		addr:    cluster.ListenAddrs()[0],
		stop:    stop,
		done:    make(chan struct{}),
	}
	go e.maintain(keepCtx, o.MaintenanceEvery)
	return e, nil
}

// maintain applies retention and compaction: after a restart the broker does neither
// by itself.
func (e *Embedded) maintain(ctx context.Context, every time.Duration) {
	defer close(e.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		e.cluster.ApplyRetention()
		e.cluster.Compact()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Addr is the address the broker listens on, host:port.
func (e *Embedded) Addr() string { return e.addr }

// Brokers is the list to give to Open.
func (e *Embedded) Brokers() []string { return []string{e.addr} }

// Close writes the broker's state and gives the folder free. Close the buses first.
func (e *Embedded) Close() error {
	e.once.Do(func() {
		e.stop()
		<-e.done
		e.cluster.Close()
		e.err = e.lock.Close()
	})
	return e.err
}
