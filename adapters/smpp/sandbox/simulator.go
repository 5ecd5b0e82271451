package sandbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu"
	"golang.org/x/time/rate"

	"recapito/adapters/smpp/wire"
)

// Simulator is an SMSC. New opens it; Run serves it, once.
type Simulator struct {
	o         Options
	lock      *os.File
	listener  net.Listener
	journal   *journal
	secrets   *secrets
	scheduler *scheduler
	stats     counters
	running   atomic.Bool

	mu        sync.Mutex
	behaviour Behaviour
	limiter   *rate.Limiter
	base      uint64 // of message numbers
	last      uint64 // message number
	waiting   int    // receipts not acknowledged
	peers     []*peer
	turn      int // whose turn among the peers it is
	ready     []*receipt
}

// Stats counts what happened since New. Pending is what is open now.
type Stats struct {
	Binds        uint64 `json:"binds"`
	Messages     uint64 `json:"messages"` // submit_sm, whatever the response
	Accepted     uint64 `json:"accepted"`
	Refused      uint64 `json:"refused"`
	Throttled    uint64 `json:"throttled"`
	Unanswered   uint64 `json:"unanswered"` // Mix.LoseAnswer
	ReceiptsSent uint64 `json:"receipts_sent"`
	Acknowledged uint64 `json:"acknowledged"` // receipts the ESME took
	Declined     uint64 `json:"declined"`     // receipts the ESME refused, each time
	Pending      uint64 `json:"pending"`      // receipts due or to be due
}

type counters struct {
	binds, messages, accepted, refused, throttled, unanswered, sent, acknowledged, declined atomic.Uint64
}

// Run opens a simulator and serves it until ctx ends.
func Run(ctx context.Context, o Options) error {
	s, err := New(o)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// New locks the folder, reads the journal and listens. Connections are served once
// Run is called; receipts that were pending when the last simulator ended, however
// it did, are scheduled again.
func New(o Options) (_ *Simulator, err error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("smsc: make the folder: %w", err)
	}
	s := &Simulator{o: o, scheduler: newScheduler()}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("smsc: %w", err), s.close())
		}
	}()
	if s.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	var records []record
	if s.journal, records, err = openJournal(o.Dir); err != nil {
		return nil, err
	}
	if s.secrets, err = openSecrets(o.Dir, len(records) == 0); err != nil {
		return nil, err
	}
	if err = s.recover(records); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", o.Addr); err != nil {
		return nil, err
	}
	s.setBehaviour(o.Behaviour)
	return s, nil
}

// close frees what a simulator that never ran holds.
func (s *Simulator) close() error {
	var err error
	if s.listener != nil {
		err = errors.Join(err, s.listener.Close())
	}
	if s.journal != nil {
		err = errors.Join(err, s.journal.file.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// recover takes up where the journal ends.
func (s *Simulator) recover(records []record) error {
	if len(records) == 0 {
		s.base = 1<<32 + rand.Uint64N(1<<40) // ids that do not repeat those of another journal
		s.last = s.base
		return nil
	}
	if records[0].Kind != kindBegin {
		return fmt.Errorf("%w: it does not begin with its head", ErrCorrupt)
	}
	s.base = records[0].Base
	s.last = s.base
	open := map[uint64]record{}
	for _, r := range records[1:] {
		switch r.Kind {
		case kindMessage:
			s.last = max(s.last, r.Number)
			if r.Receipt == ReceiptPending {
				open[r.Number] = r
			}
		case kindReceipt:
			delete(open, r.Number)
		}
	}
	for _, r := range open {
		c, err := s.receiptOf(r)
		if err != nil {
			return err
		}
		s.waiting++
		s.scheduler.at(r.At.Add(r.Delay), false, func() { s.due(c) })
	}
	return nil
}

// Addr is where the simulator listens.
func (s *Simulator) Addr() string { return s.listener.Addr().String() }

// Behave changes the behaviour from the next message on.
func (s *Simulator) Behave(b Behaviour) error {
	if err := b.validate(); err != nil {
		return err
	}
	s.setBehaviour(b)
	return nil
}

func (s *Simulator) setBehaviour(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	limit, burst := rate.Inf, 1
	if b.Rate > 0 {
		limit, burst = rate.Limit(b.Rate), 1+int(b.Rate/10)
	}
	s.limiter = rate.NewLimiter(limit, burst)
}

// Disconnect cuts every session without a word.
func (s *Simulator) Disconnect() {
	s.mu.Lock()
	peers := append([]*peer(nil), s.peers...)
	s.mu.Unlock()
	for _, p := range peers {
		p.session.Close(wire.ErrClosed)
	}
}

// Stats is what happened so far.
func (s *Simulator) Stats() Stats {
	s.mu.Lock()
	pending := uint64(s.waiting)
	s.mu.Unlock()
	c := &s.stats
	return Stats{
		Binds: c.binds.Load(), Messages: c.messages.Load(), Accepted: c.accepted.Load(), Refused: c.refused.Load(),
		Throttled: c.throttled.Load(), Unanswered: c.unanswered.Load(), ReceiptsSent: c.sent.Load(),
		Acknowledged: c.acknowledged.Load(), Declined: c.declined.Load(), Pending: pending,
	}
}

// Run serves until ctx ends or the journal fails: then it unbinds its sessions,
// sends the responses still owed, and closes the journal. Receipts not yet
// acknowledged wait there for the next Run.
func (s *Simulator) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("smsc: it runs already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	stopJournal := make(chan struct{})
	journalEnded := make(chan error, 1)
	go func() {
		err := s.journal.run(stopJournal)
		cancel() // a disk that fails ends the simulator
		journalEnded <- err
	}()
	if s.last == s.base {
		s.journal.append(record{Kind: kindBegin, Version: journalVersion, Base: s.base, At: s.now()}, func(error) {})
	}
	s.o.Logger.Info("smsc listens", "addr", s.Addr(), "pending_receipts", s.Stats().Pending)

	var sessions, timers sync.WaitGroup
	schedulerCtx, stopScheduler := context.WithCancel(context.Background())
	defer stopScheduler()
	timers.Go(func() { s.scheduler.run(schedulerCtx) })
	stopListening := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stopListening()

	err := s.accept(ctx, &sessions)
	cancel()
	stopScheduler() // gives the answers still owed
	timers.Wait()
	s.unbindAll()
	sessions.Wait()
	close(stopJournal)
	return errors.Join(err, <-journalEnded, s.lock.Close())
}

// accept serves connections until the listener is closed.
func (s *Simulator) accept(ctx context.Context, sessions *sync.WaitGroup) error {
	for {
		conn, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			return fmt.Errorf("smsc: accept: %w", err)
		}
		p := s.newPeer(conn)
		if p == nil {
			_ = conn.Close()
			continue
		}
		sessions.Go(func() { s.serve(p) })
	}
}

// unbindAll asks every ESME to go, and closes those that do not answer.
func (s *Simulator) unbindAll() {
	ctx, cancel := context.WithTimeout(context.Background(), unbindTimeout)
	defer cancel()
	s.mu.Lock()
	peers := append([]*peer(nil), s.peers...)
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			_, _ = p.session.Ask(ctx, pdu.NewUnbind())
			p.session.Close(wire.ErrClosed)
		})
	}
	wg.Wait()
}

func (s *Simulator) now() time.Time { return s.o.Now().UTC() }
