package smtptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

const (
	startPatience   = 20 * time.Second
	installPatience = 4 * time.Minute
)

// postfixPrograms are where Debian has Postfix's programs.
const (
	postfixCommand = "/usr/sbin/postfix"
	postfixDaemons = "/usr/lib/postfix/sbin"
)

// Mailboxes that the Postfix refuses; it takes every other one.
const (
	RefusedMailbox  = "nobody@refused.example" // for good, with 550 5.1.1
	DeferredMailbox = "later@refused.example"  // for now, with 450 4.2.1
)

// Postfix is a running Postfix of its own: its configuration, queue and data are in a
// temporary folder, it listens on 127.0.0.1 alone, and it is no service of the system.
// It offers STARTTLS, DSN and SMTPUTF8, and relays everything to a sink by LMTP, its own
// delivery status notifications too. It needs root.
type Postfix struct {
	// Sink is where it delivers.
	Sink *Server
	// Certificate is that of its STARTTLS.
	Certificate Certificate
	addr        string
}

// Addr returns its host:port.
func (p *Postfix) Addr() string { return p.addr }

// StartPostfix starts a Postfix and its sink until the test ends. With CI or
// RECAPITO_TEST_PEERS set, it installs Postfix where it is missing, and the test fails if
// it cannot; without them the test is skipped.
func StartPostfix(t testing.TB) *Postfix {
	t.Helper()
	needPostfix(t)
	// Not t.TempDir: its parent lets nobody else in, and Postfix's daemons do not run as root.
	dir, err := os.MkdirTemp("", "postfixtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Postfix{Sink: Start(t, Options{LMTP: true, NoDSN: true}), Certificate: NewCertificate(t, dir), addr: freeAddr(t)}
	if err := p.configure(dir); err != nil {
		t.Fatal(err)
	}
	p.run(t, filepath.Join(dir, "etc"))
	return p
}

func (p *Postfix) configure(dir string) error {
	for _, folder := range []string{"etc", "spool", "data"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil { //nolint:gosec // read by another account
			return err
		}
	}
	values := map[string]any{"Dir": dir, "Daemons": postfixDaemons, "Listen": p.addr, "SinkPort": p.Sink.Port(),
		"Refused": RefusedMailbox, "Deferred": DeferredMailbox, "Cert": p.Certificate.CertFile, "Key": p.Certificate.KeyFile}
	for name, text := range map[string]string{"main.cf": mainConfig, "master.cf": masterConfig} {
		var b bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&b, values); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "etc", name), b.Bytes(), 0o644); err != nil { //nolint:gosec // read by another account
			return err
		}
	}
	chown := exec.Command("chown", "postfix", filepath.Join(dir, "data"))
	if out, err := chown.CombinedOutput(); err != nil {
		return fmt.Errorf("chown: %w: %s", err, out)
	}
	return os.Chmod(dir, 0o755) //nolint:gosec // read by another account
}

func (p *Postfix) run(t testing.TB, config string) {
	t.Helper()
	var log logBuffer
	cmd := exec.Command(postfixCommand, "-c", config, "start-fg")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(startPatience):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("Postfix's log:\n%s", log.String())
		}
	})
	deadline := time.Now().Add(startPatience)
	for {
		conn, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Postfix ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("Postfix does not listen: %v", err)
		}
	}
}

// needPostfix makes sure that Postfix can be started here.
func needPostfix(t testing.TB) {
	t.Helper()
	required := os.Getenv("CI") != "" || os.Getenv("RECAPITO_TEST_PEERS") != ""
	err := installed()
	if err != nil && required {
		err = errors.Join(install(), installed())
	}
	switch {
	case err == nil:
	case required:
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

func installed() error {
	if os.Geteuid() != 0 {
		return errors.New("a test with Postfix runs as root: its daemons change their account")
	}
	for _, name := range []string{postfixCommand, filepath.Join(postfixDaemons, "smtpd")} {
		if _, err := os.Stat(name); err != nil {
			return errors.New("Postfix is missing: apt-get install -y postfix")
		}
	}
	return nil
}

var installing sync.Mutex

// install installs Debian's Postfix, without a configuration and without starting it.
func install() error {
	installing.Lock()
	defer installing.Unlock()
	if installed() == nil || os.Geteuid() != 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), installPatience)
	defer cancel()
	apt := func(args ...string) error {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=120"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			return fmt.Errorf("apt-get %s: %w: %s", args[0], err, lines[len(lines)-1])
		}
		return nil
	}
	wanted := []string{"install", "-y", "--no-install-recommends", "postfix"}
	if apt(wanted...) == nil {
		return nil
	}
	if err := apt("update"); err != nil {
		return err
	}
	return apt(wanted...)
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// logBuffer is what Postfix logged, up to a bound.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const maxLogBytes = 1 << 20

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() < maxLogBytes {
		l.b.Write(b)
	}
	return len(b), nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const mainConfig = `compatibility_level = 3.6
queue_directory = {{.Dir}}/spool
data_directory = {{.Dir}}/data
daemon_directory = {{.Daemons}}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = /dev/stdout
myhostname = relay.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access inline:{ {{"{"}}{{.Refused}} = 550 5.1.1 no such mailbox{{"}"}}, {{"{"}}{{.Deferred}} = 450 4.2.1 not now{{"}"}} }
smtpd_peername_lookup = no
smtp_host_lookup = native
default_transport = lmtp:inet:127.0.0.1:{{.SinkPort}}
smtpd_tls_security_level = may
smtpd_tls_cert_file = {{.Cert}}
smtpd_tls_key_file = {{.Key}}
smtpd_tls_session_cache_database =
smtpd_timeout = 60s
smtputf8_enable = yes
queue_run_delay = 1s
minimal_backoff_time = 1s
notify_classes =
biff = no
`

const masterConfig = `{{.Listen}} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
