package clickhouse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"recapito/commands/retry"
)

// SupervisorOptions configures [Start].
type SupervisorOptions struct {
	// The child is Executable Args… --dir Dir --addr ADDR, and must call
	// [RunServer] with its stdin and [PrintReady] with its stdout.
	Executable string   // empty: this program
	Args       []string // such as "clickhouse"
	// Env is added to the child's environment, which has little of this process's. Lines of
	// JSON, as slog writes them, go from the child's stderr to Logger at their own level.
	Env  []string
	Dir  string
	Addr string // a loopback address; with port 0 the first child's choice is kept

	// Readers are the users besides the writer, whose password is made by Start.
	Readers []Reader

	// HangAfter is how long a child may leave its pings unanswered before it is
	// killed and started again; 0: [DefaultHangAfter].
	HangAfter time.Duration

	Logger *slog.Logger
}

const (
	readyPatience = 60 * time.Second // for a child to serve requests

	// A child drains and stops its engine within these; then it is killed.
	closePatience = drainPatience + 2*stopPatience + 5*time.Second
)

// restarting is how soon a child that died is replaced.
var restarting = retry.Policy{First: 100 * time.Millisecond, Most: 10 * time.Second, Steady: 30 * time.Second}

// Supervised is an engine in a child process that is started again whenever it
// dies.
type Supervised struct {
	options SupervisorOptions
	logger  *slog.Logger
	addr    string
	users   Users

	life context.Context // ends with Close
	stop context.CancelFunc
	done chan struct{} // closed when the last child is gone

	mu       sync.Mutex
	state    error
	restarts int
	process  *os.Process
}

var (
	errStarting = errors.New("the ClickHouse engine is starting")
	errClosed   = errors.New("the ClickHouse engine is stopped")
)

// Start starts the engine and waits until it serves. A library that is
// missing or does not load is an error that explains how to get one, and so is
// every other reason for which the first child does not come up; later ones
// are tried again for ever, with a back-off. ctx bounds the start only.
func Start(ctx context.Context, o SupervisorOptions) (*Supervised, error) {
	if err := checkLoopback(o.Addr); err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("start the ClickHouse engine: no folder")
	}
	if o.Executable == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program to run the ClickHouse engine: %w", err)
		}
		o.Executable = self
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HangAfter == 0 {
		o.HangAfter = DefaultHangAfter
	}
	users := Users{WriterPassword: newPassword(), Readers: o.Readers}
	if err := users.Check(); err != nil {
		return nil, fmt.Errorf("start the ClickHouse engine: %w", err)
	}
	if _, err := LibraryPath(); err != nil {
		return nil, err
	}
	s := &Supervised{
		options: o, logger: o.Logger, addr: o.Addr, users: users, state: errStarting,
		done: make(chan struct{}),
	}
	s.life, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	first, err := s.spawn(ctx)
	if err != nil {
		return nil, err
	}
	go s.supervise(first)
	return s, nil
}

// URL is where the engine's HTTP interface is, with the writer's name and password, over
// all restarts. It is a secret.
func (s *Supervised) URL() string {
	u := url.URL{Scheme: "http", Host: s.addr, User: url.UserPassword(Writer, s.users.WriterPassword)}
	return u.String()
}

// Password is the writer's.
func (s *Supervised) Password() string { return s.users.WriterPassword }

// State is nil while the engine serves, else the reason.
func (s *Supervised) State() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Restarts counts the children that were started after the first.
func (s *Supervised) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.restarts
}

// PID is the child's process id, 0 while there is none.
func (s *Supervised) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Pid
}

// Close lets running requests finish, stops the engine and waits for its end;
// when ctx ends first, or the child takes too long, it is killed.
func (s *Supervised) Close(ctx context.Context) error {
	s.stop()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	case <-timer.C:
	}
	s.mu.Lock()
	if s.process != nil {
		_ = s.process.Kill()
	}
	s.mu.Unlock()
	<-s.done
	return errors.New("the ClickHouse engine did not stop in time and was killed")
}

// child is one running engine process.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser // held open: its end is the child's
	exited chan struct{}
	err    error // of its end, after exited
}

// supervise keeps a child running until Close.
func (s *Supervised) supervise(c *child) {
	defer close(s.done)
	defer s.setState(errClosed, nil)
	log := retry.NewLog(s.logger, "the ClickHouse engine")
	_ = restarting.Keep(s.life, log, func(ctx context.Context, _ func()) error {
		if c == nil {
			var err error
			if c, err = s.spawn(ctx); err != nil {
				s.setState(err, nil)
				return err
			}
			s.mu.Lock()
			s.restarts++
			s.mu.Unlock()
		}
		ended := c
		c = nil
		unwatch := s.watch(ended)
		select {
		case <-ended.exited:
			unwatch()
		case <-ctx.Done():
			unwatch()
			s.terminate(ended)
			return nil
		}
		s.setState(ended.err, nil)
		return ended.err
	})
}

// childEnvironment is what a child has of this process's environment: what a program needs
// to run, and no secret that the configuration may hold.
func childEnvironment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return !slices.Contains(childVariables, name) && !strings.HasPrefix(name, "RECAPITO_TEST_")
	})
}

var childVariables = []string{
	"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "XDG_CACHE_HOME", LibraryEnv,
	"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR", "GORACE",
}

// spawn starts a child and waits for its address.
func (s *Supervised) spawn(ctx context.Context) (*child, error) {
	args := append(append([]string{}, s.options.Args...), "--dir", s.options.Dir, "--addr", s.addr)
	cmd := exec.Command(s.options.Executable, args...)
	cmd.Env = append(childEnvironment(os.Environ()), s.options.Env...)
	// Signals of a terminal are for the parent, which then stops the child.
	cmd.SysProcAttr = ownGroup()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make the ClickHouse engine's stdin: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("make the ClickHouse engine's stdout: %w", err)
	}
	tail := &tailWriter{logger: s.logger}
	cmd.Stderr = tail
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the ClickHouse engine's process: %w", err)
	}
	c := &child{cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		if lines.Scan() {
			address <- lines.Text()
		}
		_, _ = io.Copy(io.Discard, stdout)
		err := cmd.Wait()
		c.err = fmt.Errorf("the ClickHouse engine's process ended (%w)%s", orExit(err), tail.last())
		close(c.exited)
	}()

	if err := s.users.send(stdin); err != nil {
		s.kill(c)
		return nil, errors.Join(err, c.err)
	}
	timer := time.NewTimer(readyPatience)
	defer timer.Stop()
	select {
	case addr := <-address:
		if err := checkLoopback(addr); err != nil {
			s.kill(c)
			return nil, fmt.Errorf("the ClickHouse engine's process sent no address: %w", err)
		}
		s.addr = addr
		s.setState(nil, cmd.Process)
		return c, nil
	case <-c.exited:
		return nil, c.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("not ready within %s", readyPatience)
	}
	s.kill(c)
	return nil, fmt.Errorf("start the ClickHouse engine: %w%s", err, tail.last())
}

func orExit(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

func (s *Supervised) setState(err error, process *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.process = err, process
}

// terminate asks the child to drain and waits for it; Close kills it if that
// takes too long.
func (s *Supervised) terminate(c *child) {
	s.mu.Lock()
	s.state = errClosed
	s.mu.Unlock()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.stdin.Close()
	<-c.exited
}

func (s *Supervised) kill(c *child) {
	_ = c.cmd.Process.Kill()
	_ = c.stdin.Close()
	<-c.exited
}
