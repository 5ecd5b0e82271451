// Package apache runs a real Apache Kafka to test against: one broker on loopback, with
// its data in a folder, that can be killed and started again. It needs java (17 or
// newer) and mvn; Maven fetches Kafka once into a cache folder (RECAPITO_KAFKA_CACHE, by
// default the user's).
package apache

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	version      = "4.1.0"
	heap         = "-Xmx512m"
	fetchTimeout = 10 * time.Minute
	pingTimeout  = 2 * time.Second
)

// Installed errs with exec.ErrNotFound if java or mvn is missing.
func Installed() error {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}

// Broker is one broker's folder and addresses.
type Broker struct {
	Addr string // where clients find it

	dir, classes, controller string
}

// New gives a broker on a folder of its own, made if need be, and on free ports. It
// fetches Kafka if it is not there yet.
func New(ctx context.Context, dir string) (*Broker, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	libs, err := fetch(ctx, dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{dir: dir, classes: filepath.Join(libs, "*")}
	b.Addr, b.controller, err = freeAddresses()
	return b, err
}

// Command is the broker's process, which is not started yet. A folder without data is
// made ready first.
func (b *Broker) Command(ctx context.Context) (*exec.Cmd, error) {
	if _, err := os.Stat(b.data()); errors.Is(err, fs.ErrNotExist) {
		if err := b.format(ctx); err != nil {
			return nil, err
		}
	}
	server := exec.Command("java", heap, "-cp", b.classes, "kafka.Kafka", b.properties())
	server.Dir = b.dir
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for who started it
	return server, nil
}

func (b *Broker) data() string       { return filepath.Join(b.dir, "data") }
func (b *Broker) properties() string { return filepath.Join(b.dir, "server.properties") }

func (b *Broker) format(ctx context.Context) error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(b.properties(), []byte(settings(b.Addr, b.controller, b.data())), 0o600); err != nil {
		return err
	}
	id := uuid.New()
	format := exec.CommandContext(ctx, "java", "-cp", b.classes, "kafka.tools.StorageTool",
		"format", "--standalone", "--cluster-id="+base64.RawURLEncoding.EncodeToString(id[:]), "-c", b.properties())
	format.Dir = b.dir
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format: %w: %s", notExit(err), out)
	}
	return nil
}

// Ready returns an error until the broker serves.
func (b *Broker) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	probe, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer probe.Close()
	return probe.Ping(ctx)
}

func settings(client, controller, data string) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.bootstrap.servers=" + controller,
		"listeners=PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + client + ",CONTROLLER://" + controller,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + data,
		"auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=8",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"",
	}, "\n")
}

// freeAddresses returns two that nothing listens on at the moment.
func freeAddresses() (client, controller string, err error) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", errors.Join(err, first.Close())
	}
	return first.Addr().String(), second.Addr().String(), errors.Join(first.Close(), second.Close())
}

// notExit hides that a tool of ours ended with a status: only the command's status is
// passed on.
func notExit(err error) error { return errors.New(err.Error()) }
