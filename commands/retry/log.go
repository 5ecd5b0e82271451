package retry

import (
	"log/slog"
	"sync"
	"time"
)

const (
	logEvery = time.Minute
	// sameOutage: a failure that comes sooner after the last one was over belongs to it.
	sameOutage = 10 * time.Second
)

// Log reports the failures of one kind of operation: the first one as a warning, then at
// most one a minute with how many there were, then that it is over. Many operations may
// share a Log; the failure is over when none of them fails. A nil Log writes nothing.
type Log struct {
	logger *slog.Logger
	what   string
	args   []any

	mu       sync.Mutex
	failing  int       // operations that fail at present
	failures int       // of this outage
	began    time.Time // of this outage
	logged   time.Time // last warning
	warned   bool      // since the last time that it was over
	ended    time.Time // the last outage
}

// NewLog returns a Log. what names the operation in a line such as "matcher: following
// $all failed, will be tried again"; args are slog attributes of every line.
func NewLog(logger *slog.Logger, what string, args ...any) *Log {
	return &Log{logger: logger, what: what, args: args}
}

// outage is one operation's share of a Log, which may be nil.
type outage struct {
	log     *Log
	failing bool
}

func (o *outage) failed(err error, wait time.Duration) {
	first := !o.failing
	o.failing = true
	if o.log != nil {
		o.log.failed(err, wait, first)
	}
}

// over ends the outage, if there is one: the operation succeeded, or was given up.
func (o *outage) over(succeeded bool, at time.Time) {
	if o.failing && o.log != nil {
		o.log.over(succeeded, at)
	}
	o.failing = false
}

// failed counts a failure; first is an operation's first one.
func (l *Log) failed(err error, wait time.Duration, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	begins := false
	if first {
		l.failing++
		begins = l.failing == 1 && (l.ended.IsZero() || now.Sub(l.ended) >= sameOutage)
	}
	if begins {
		l.began, l.failures = now, 0
	}
	l.failures++
	if !begins && now.Sub(l.logged) < logEvery {
		return
	}
	l.logged, l.warned = now, true
	l.logger.Warn(l.what+" failed, will be tried again", l.with("error", err, "failures", l.failures, "retry_in", wait.Round(time.Millisecond))...)
}

func (l *Log) over(succeeded bool, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing--; l.failing > 0 {
		return
	}
	l.ended = at
	if !succeeded || !l.warned {
		return
	}
	l.warned = false
	l.logger.Info(l.what+" works again", l.with("failures", l.failures, "after", at.Sub(l.began).Round(time.Millisecond))...)
}

func (l *Log) with(more ...any) []any { return append(l.args[:len(l.args):len(l.args)], more...) }
