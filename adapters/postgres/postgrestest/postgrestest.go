// Package postgrestest starts a real PostgreSQL for a test: a server of its own, on a
// temporary folder and a free port, which commits to disk as one in earnest does, and
// can be killed and started again. It uses the PostgreSQL that is installed.
package postgrestest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Password is that of the server's only user.
const Password = "not+so/secret"

const (
	startPatience = 60 * time.Second
	pollInterval  = 50 * time.Millisecond
)

// Server is a running PostgreSQL.
type Server struct {
	t       testing.TB
	bin     string
	dir     string
	port    int
	account *syscall.Credential // nil: this process's
	now     *exec.Cmd
	log     bytes.Buffer // read once the process has ended
	ended   chan struct{}
}

// Start starts a server until the test ends. Without PostgreSQL on this machine the test
// is skipped, unless RECAPITO_TEST_PEERS forbids it.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("RECAPITO_TEST_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	// Not t.TempDir: other users may not enter its parent, and PostgreSQL does not run as root.
	dir, err := os.MkdirTemp("", "postgrestest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{t: t, bin: bin, dir: dir}
	if os.Geteuid() == 0 {
		s.becomeSomebody()
	}
	s.port = freePort(t)
	password := filepath.Join(dir, "password")
	s.must(os.WriteFile(password, []byte(Password), 0o644)) //nolint:gosec // read by another account
	s.initialize(password)
	s.Start()
	return s
}

// programs finds the folder of PostgreSQL's programs; Debian keeps them out of the path.
func programs() (string, error) {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Reverse(folders)
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), folders...) {
		_, noInit := os.Stat(filepath.Join(dir, "initdb"))
		_, noServer := os.Stat(filepath.Join(dir, "postgres"))
		if noInit == nil && noServer == nil {
			return dir, nil
		}
	}
	return "", errors.New("PostgreSQL is not installed (Debian's package postgresql): its tests are left out")
}

// becomeSomebody makes the server run under an account that is not root's.
func (s *Server) becomeSomebody() {
	s.t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(account.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
		s.must(errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid)))) //nolint:gosec // 32 bits
		s.account = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return
	}
	s.t.Fatal("no account to run PostgreSQL under")
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir = s.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.account, Setpgid: true}
	return c
}

func (s *Server) initialize(password string) {
	s.t.Helper()
	out, err := s.command("initdb", "--pgdata", s.data(), "--username", "recapito", "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--no-sync").CombinedOutput()
	if err != nil {
		s.t.Fatalf("initdb: %v\n%s", err, out)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// URL names a database of the server; postgres is always there.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://recapito:%s@%s/%s?sslmode=disable", strings.NewReplacer("+", "%2B", "/", "%2F").Replace(Password), s.Addr(), database)
}

// Addr is where it listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// NewDatabase makes an empty database and returns its URL.
func (s *Server) NewDatabase(name string) string {
	s.t.Helper()
	c, err := pgx.Connect(s.t.Context(), s.URL("postgres"))
	s.must(err)
	_, err = c.Exec(s.t.Context(), "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	s.must(errors.Join(err, c.Close(s.t.Context())))
	return s.URL(name)
}

// Start starts the server that was killed, with more settings.
func (s *Server) Start(settings ...string) {
	s.t.Helper()
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", s.dir, "-c", "max_connections=200"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	s.now, s.ended = s.command("postgres", args...), make(chan struct{})
	s.log.Reset()
	s.now.Stdout, s.now.Stderr = &s.log, &s.log
	s.must(s.now.Start())
	go func(c *exec.Cmd, ended chan struct{}) {
		_ = c.Wait()
		close(ended)
	}(s.now, s.ended)
	s.t.Cleanup(s.Kill)
	deadline := time.Now().Add(startPatience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		c, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			_ = c.Close(ctx)
		}
		cancel()
		if err == nil {
			return
		}
		select {
		case <-s.ended:
			s.t.Fatalf("PostgreSQL ended at once: %s", s.log.String())
		case <-time.After(pollInterval):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("PostgreSQL did not start: %v", err)
		}
	}
}

// Kill kills the server and all its children, as power loss would but for the disk.
func (s *Server) Kill() {
	_ = syscall.Kill(-s.now.Process.Pid, syscall.SIGKILL) // it may have ended
	<-s.ended
}

// freePort is one that no one listens on at the moment.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
