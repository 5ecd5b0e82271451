// Command kafkapeer runs a command with a real Apache Kafka, to test against:
//
//	go run ./adapters/kafka/kafkapeer go test -count=1 ./adapters/kafka/...
//
// It starts one broker on free ports of 127.0.0.1, with its data in a temporary folder,
// sets RECAPITO_TEST_KAFKA to its address for the command, stops it when the command has
// ended, and ends with the command's status. It needs java (17 or newer) and mvn; Maven
// fetches Kafka once into a cache folder (RECAPITO_KAFKA_CACHE, by default the user's).
// Status 69: java or mvn is missing.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	version         = "4.1.0"
	heap            = "-Xmx512m"
	fetchTimeout    = 10 * time.Minute
	startTimeout    = 60 * time.Second
	stopTimeout     = 20 * time.Second
	pingInterval    = 200 * time.Millisecond
	statusFailed    = 1
	statusUsage     = 2
	statusNoTools   = 69
	peerEnvironment = "RECAPITO_TEST_KAFKA"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	cancel()
	if err == nil {
		return
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintln(os.Stderr, "kafkapeer:", err)
	switch {
	case errors.Is(err, errUsage):
		os.Exit(statusUsage)
	case errors.Is(err, exec.ErrNotFound):
		os.Exit(statusNoTools)
	}
	os.Exit(statusFailed)
}

var errUsage = errors.New("usage: kafkapeer command [argument…]")

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return errUsage
	}
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp("", "kafkapeer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	libs, err := fetch(ctx, work)
	if err != nil {
		return err
	}
	addr, stop, err := start(ctx, work, filepath.Join(libs, "*"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), peerEnvironment+"="+addr)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>recapito</groupId>
  <artifactId>kafkapeer</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + version + `</version>
    </dependency>
  </dependencies>
</project>
`

// fetch gives the folder with Kafka's jars, filled by Maven the first time. A fill that
// was cut short leaves no folder of that name.
func fetch(ctx context.Context, work string) (string, error) {
	cache := os.Getenv("RECAPITO_KAFKA_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "recapito")
	}
	libs := filepath.Join(cache, "kafka-"+version)
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(cache, "partial")
	if err != nil {
		return "", err
	}
	pomFile := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(pomFile, []byte(pom), 0o600); err != nil {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "kafkapeer: fetching Kafka", version)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--file", pomFile,
		"dependency:copy-dependencies", "-DoutputDirectory="+partial)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("mvn: %w", notExit(err)), os.RemoveAll(partial))
	}
	if err := os.Rename(partial, libs); err != nil {
		// Another run was faster.
		if _, statErr := os.Stat(libs); statErr != nil {
			return "", err
		}
		return libs, os.RemoveAll(partial)
	}
	return libs, nil
}

// start runs a broker and waits until it answers.
func start(ctx context.Context, work, classes string) (addr string, stop func() error, err error) {
	client, controller, err := freeAddresses()
	if err != nil {
		return "", nil, err
	}
	properties := filepath.Join(work, "server.properties")
	if err := os.WriteFile(properties, []byte(settings(client, controller, filepath.Join(work, "data"))), 0o600); err != nil {
		return "", nil, err
	}
	id := uuid.New()
	format := exec.CommandContext(ctx, "java", "-cp", classes, "kafka.tools.StorageTool",
		"format", "--standalone", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", properties)
	format.Dir = work
	if out, err := format.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("format: %w: %s", notExit(err), out)
	}
	logPath := filepath.Join(work, "server.log")
	log, err := os.Create(logPath)
	if err != nil {
		return "", nil, err
	}
	server := exec.Command("java", heap, "-cp", classes, "kafka.Kafka", properties)
	server.Dir, server.Stdout, server.Stderr = work, log, log
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt ends the command first
	if err := server.Start(); err != nil {
		return "", nil, errors.Join(err, log.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	stop = func() error {
		var err error
		_ = server.Process.Signal(syscall.SIGTERM) // an error means that it is gone
		select {
		case err = <-ended:
		case <-time.After(stopTimeout):
			_ = server.Process.Kill()
			err = <-ended
		}
		var exit *exec.ExitError // ended by our signal
		if errors.As(err, &exit) {
			err = nil
		}
		return errors.Join(err, log.Close())
	}
	if err := await(ctx, client, ended); err != nil {
		said, _ := os.ReadFile(logPath)
		return "", nil, errors.Join(fmt.Errorf("start Kafka: %w\n%s", err, said), stop())
	}
	return client, stop, nil
}

func await(ctx context.Context, addr string, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	probe, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer probe.Close()
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for probe.Ping(ctx) != nil {
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			return errors.New("it ended at once")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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

// freeAddresses gives two that nobody listens on at the moment.
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
