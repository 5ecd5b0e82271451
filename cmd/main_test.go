package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"recapito/cmd/instance"
)

// asRecapito makes the test binary behave as the program: children (ClickHouse, the
// simulator, killed instances) are this same file.
const asRecapito = "RECAPITO_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == brokerVerb {
		if err := brokerMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(asRecapito) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err := os.Setenv(asRecapito, "1"); err != nil { // for the children of in-process instances
		panic(err)
	}
	code := m.Run()
	endSandbox()
	os.Exit(code)
}

// shared is the one instance that tests share which change nothing that another looks at.
var shared struct {
	once   sync.Once
	dir    string
	cmd    *exec.Cmd
	stdin  io.Closer
	out    lockedBuffer
	failed error
}

// sharedSandbox starts `recapito sandbox`, once for all tests, and returns its folder.
func sharedSandbox(t testing.TB) (dir string, i instance.RunFile) {
	t.Helper()
	s := &shared
	s.once.Do(func() {
		self, err := os.Executable()
		if err == nil {
			s.dir, err = os.MkdirTemp("", "recapito-sandbox-")
		}
		if err == nil {
			s.cmd = exec.Command(self, "sandbox", "--data", s.dir, "--http", "127.0.0.1:0")
			s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
			s.stdin, err = s.cmd.StdinPipe()
		}
		if err == nil {
			err = s.cmd.Start()
		}
		s.failed = err
	})
	if s.failed != nil {
		t.Fatal(s.failed)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("output of the shared sandbox:\n%s", tail(s.out.String(), 4000))
		}
	})
	eventually(t, time.Minute, func() (err error) {
		i, err = instance.Find(s.dir)
		return err
	})
	return s.dir, i
}

// endSandbox ends it as an operator would, if it was started.
func endSandbox() {
	if shared.cmd == nil || shared.cmd.Process == nil {
		return
	}
	_ = shared.cmd.Process.Signal(syscall.SIGTERM)
	ended := time.AfterFunc(time.Minute, func() { _ = shared.cmd.Process.Kill() })
	defer ended.Stop()
	_ = shared.cmd.Wait()
	_ = os.RemoveAll(shared.dir)
}

// process is `recapito …` as a process of its own.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	out    lockedBuffer
	waited chan struct{}
	err    error
}

// lockedBuffer keeps what a process prints, for the tests that search it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t testing.TB, args ...string) *process {
	t.Helper()
	return startWith(t, nil, args...)
}

func startWith(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), env...)
	return startCommand(t, cmd)
}

func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, waited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.waited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("output of %s:\n%s", p.name(), tail(p.out.String(), 4000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// name is the verb, or the program if it is not ours.
func (p *process) name() string {
	if p.cmd.Path != os.Args[0] && filepath.Base(p.cmd.Path) != filepath.Base(os.Args[0]) {
		return p.cmd.Args[0]
	}
	return "recapito " + p.cmd.Args[1]
}

// ended reports whether it has, by itself or not.
func (p *process) ended() bool {
	select {
	case <-p.waited:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.waited
}

// stop ends the process as an operator would, and wants exit code 0.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.wait(time.Minute)
}

func (p *process) wait(within time.Duration) {
	p.t.Helper()
	select {
	case <-p.waited:
	case <-time.After(within):
		p.t.Fatalf("%s did not end within %s", p.name(), within)
	}
	if p.err != nil {
		p.t.Fatalf("%s: %v", p.name(), p.err)
	}
}

// verb runs a verb of the CLI to its end and returns what it printed on stdout.
func verb(t testing.TB, args ...string) (string, error) {
	t.Helper()
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := run(ctx, args, terminal{in: strings.NewReader(""), out: &out, err: &errOut, environ: os.Environ()})
	if code != 0 {
		return out.String(), fmt.Errorf("exit %d: %s", code, errOut.String())
	}
	return out.String(), nil
}

func mustVerb(t testing.TB, args ...string) string {
	t.Helper()
	out, err := verb(t, args...)
	if err != nil {
		t.Fatalf("recapito %s: %v", strings.Join(args[:1], " "), err)
	}
	return out
}

// eventually polls until ok returns nil.
func eventually(t testing.TB, within time.Duration, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", within, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// instanceOf waits until the instance of a folder is ready.
func instanceOf(t testing.TB, p *process, dir string) instance.RunFile {
	t.Helper()
	var i instance.RunFile
	eventually(t, time.Minute, func() (err error) {
		if p.ended() {
			t.Fatalf("the instance ended: %v", p.err)
		}
		if i, err = instance.Find(dir); err == nil && i.PID != p.cmd.Process.Pid {
			err = errors.New("run.json is an earlier instance's")
		}
		return err
	})
	return i
}

// startSMSC starts the simulator on a port that stays the same over restarts.
func startSMSC(t testing.TB, dir, addr string, args ...string) (*process, string) {
	t.Helper()
	p := start(t, append([]string{"smsc", "--data", dir, "--addr", addr}, args...)...)
	eventually(t, time.Minute, func() error {
		line, _, ok := strings.Cut(p.out.String(), "\n")
		if !ok {
			return errors.New("the simulator has not said its address")
		}
		addr = line
		return nil
	})
	return p, addr
}

// writeConfig writes a configuration whose route leads to a simulator.
func writeConfig(t testing.TB, dir, smsc, more string) string {
	t.Helper()
	scenarios, err := filepath.Abs("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	text := "data: " + dir + "\nscenarios: " + scenarios + `
http: {addr: "127.0.0.1:0"}
routes:
  - name: smsc
    channel: sms
    settings:
      addr: ` + smsc + `
      system_id: recapito
      echoes_reference: true
` + more
	file := filepath.Join(t.TempDir(), "recapito.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
