package kafka_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"recapito/adapters/kafka"
)

func TestGeneration(t *testing.T) {
	addresses := brokers(t)
	first, _, err := kafka.Generation(t.Context(), addresses) // a shared cluster may have one
	if err != nil {
		t.Fatal(err)
	}
	again, created, err := kafka.Generation(t.Context(), addresses)
	if err != nil {
		t.Fatal(err)
	}
	if created || again != first || first == "" {
		t.Errorf("first %q, again %q, created %v", first, again, created)
	}
}

func TestGenerationIsOneForAll(t *testing.T) {
	e := embedded(t, t.TempDir())
	const callers = 8
	ids := make([]string, callers)
	made := make([]bool, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			var err error
			if ids[i], made[i], err = kafka.Generation(t.Context(), e.Brokers()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	creators := 0
	for i := range callers {
		if ids[i] != ids[0] {
			t.Errorf("%q and %q", ids[i], ids[0])
		}
		if made[i] {
			creators++
		}
	}
	if creators != 1 {
		t.Errorf("%d callers made it", creators)
	}
}

func TestGenerationLivesAsLongAsTheFolder(t *testing.T) {
	dir := t.TempDir()
	start := func() (string, bool) {
		// Compaction runs all the time: it must not lose the record.
		e, err := kafka.StartEmbedded(t.Context(), kafka.EmbeddedOptions{Dir: dir, MaintenanceEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		id, created, err := kafka.Generation(t.Context(), e.Brokers())
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return id, created
	}
	first, created := start()
	if !created {
		t.Error("the first start found a generation")
	}
	for range 3 {
		if again, created := start(); again != first || created {
			t.Errorf("restart: %q, created %v; first %q", again, created, first)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if wiped, created := start(); wiped == first || !created {
		t.Errorf("wiped: %q, created %v", wiped, created)
	}
}

func TestOneBrokerAFolder(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(foreign, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := embedded(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := kafka.StartEmbedded(ctx, kafka.EmbeddedOptions{Dir: dir}); !errors.Is(err, kafka.ErrLocked) {
		t.Errorf("second broker: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := embedded(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(foreign); err != nil || string(data) != "keep" {
		t.Errorf("a file in the folder: %q, %v", data, err)
	}
}

func TestRetentionDropsWhatIsOld(t *testing.T) {
	e, err := kafka.StartEmbedded(t.Context(), kafka.EmbeddedOptions{Dir: t.TempDir(), MaintenanceEvery: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	topic := kafka.Topic{Name: "short", Partitions: 1, Retention: time.Hour, RetentionBytes: 8 << 10}
	if err := kafka.EnsureTopics(t.Context(), e.Brokers(), topic); err != nil {
		t.Fatal(err)
	}
	b := open(t, e.Brokers())
	for i := range 64 {
		publish(t, b, "short", newMessage("k", fmt.Sprint(i, strings.Repeat("x", 1024))))
	}
	messages, err := subscriber(t, b, "late").Subscribe(t.Context(), "short")
	if err != nil {
		t.Fatal(err)
	}
	first := receive(t, messages)
	first.Ack()
	if strings.HasPrefix(string(first.Payload), "0x") {
		t.Error("64 KiB kept in a topic of 8 KiB")
	}
}

// child is a broker in a process of its own.
type child struct {
	cmd  *exec.Cmd
	addr string
}

func startChild(t *testing.T, dir, addr string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerVariable+"="+dir+"|"+addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd}
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("broker did not start:", err)
	}
	var ok bool
	if c.addr, ok = strings.CutPrefix(strings.TrimSpace(line), "listening "); !ok {
		t.Fatal("broker says", line)
	}
	return c
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill() // -9; an error means that it is gone already
	_ = c.cmd.Wait()
}

func TestKilledBrokerLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, dir, "127.0.0.1:0")
	addr := c.addr
	topic := freshTopics(t, []string{addr}, 1)[0]
	b := open(t, []string{addr})

	got := newSeen()
	runRouter(t, kafka.RouterOptions{Publisher: b.Publisher()}, func(r *message.Router) {
		r.AddConsumerHandler("survivor", topic, subscriber(t, b, "survivor"), func(m *message.Message) error {
			got.add(m.UUID)
			return nil
		})
	})
	// Publishers go on through three kills; what they were told is there must arrive.
	acknowledged := newSeen()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				m := newMessage(fmt.Sprint(w, i%50), "x")
				if err := b.Publisher().Publish(topic, m); err == nil {
					acknowledged.add(m.UUID)
				}
			}
		})
	}
	for kills := 1; kills <= 3; kills++ {
		acknowledged.await(t, kills*500)
		c.kill()
		c = startChild(t, dir, addr)
	}
	acknowledged.await(t, acknowledged.distinct()+500)
	cancel()
	wg.Wait()

	missing := func() (n int) {
		got.mu.Lock()
		defer got.mu.Unlock()
		for _, id := range acknowledged.order {
			if got.counts[id] == 0 {
				n++
			}
		}
		return n
	}
	for limit := time.Now().Add(patience); missing() > 0; {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d acknowledged messages lost", missing(), acknowledged.distinct())
		}
		<-got.changed
	}
	t.Logf("%d acknowledged, %d delivered, %d of them different", acknowledged.distinct(), len(got.list()), got.distinct())
}
