package cmd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recapito/adapters/postgres/postgrestest"
	"recapito/cmd/instance"
)

// Two instances share the work of one ledger; their key store dies and comes back, and
// one of them dies in the middle: the other finishes everything, whether or not the
// first comes back.
func TestTwoInstancesAndOneDies(t *testing.T) {
	t.Parallel()
	all := map[string]func(*served){"for good": func(s *served) { s.now.kill() }}
	if thorough("RECAPITO_TEST_PEERS") {
		all["and comes back"] = (*served).strike
	}
	for name, strike := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoInstances(t, strike)
		})
	}
}

func twoInstances(t *testing.T, strike func(*served)) {
	server := postgrestest.Start(t)
	keys := server.NewDatabase("keys")
	w := engineWorld(t)
	smsc := w.troubledSMSC(w.root)
	var both [2]*served
	for n := range both {
		dir := filepath.Join(w.root, fmt.Sprint("instance", n))
		both[n] = &served{w: w, dir: dir, config: writeConfig(t, dir, smsc, troubledRoute+w.keys()+fmt.Sprintf(
			"keystore: {url: %q, master_key_file: %q}\n", keys, filepath.Join(w.root, "master.key")))}
		both[n].start()
	}
	var asked atomic.Uint64
	var handled [2]int // messages off the bus
	ids := w.sendWhile([]func(){func() {
		server.Kill()
		server.Start()
	}, func() {
		for n := range both {
			eventually(t, time.Minute, func() (err error) {
				handled[n], err = both[n].handled(t)
				if err == nil && handled[n] == 0 {
					err = errors.New("it has taken nothing off the bus")
				}
				return err
			})
		}
		strike(both[0])
	}}, func() *client { return both[asked.Add(1)%2].client() })

	c := both[1].client()
	for _, id := range ids {
		eventually(t, 3*time.Minute, func() error { return isFinal(t, c, id) })
	}
	more, err := both[1].handled(t)
	if err != nil || more <= handled[1] {
		t.Errorf("the one that lived took nothing more off the bus: %v", err)
	}
	for _, s := range both {
		if strings.Contains(s.now.out.String(), postgrestest.Password) {
			t.Error("an instance printed the key store's password")
		}
		if _, err := os.Stat(filepath.Join(s.dir, "keys")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an instance has keys of its own: %v", err)
		}
	}
	both[1].now.stop()
	both[0].now.kill()
	wantComplete(t, openHere(t, both[1].config), filepath.Join(w.root, "smsc"), ids)
}

// The commands of docs/operations.md make two instances that are one ledger: what one
// takes, the other knows.
func TestTwoInstancesAsThePageSays(t *testing.T) {
	t.Parallel()
	here := map[string]string{
		"postgres://recapito:PASSWORD@127.0.0.1:5432/recapito": postgrestest.Start(t).NewDatabase("recapito"),
		"127.0.0.1:9092": engineOn(t, t.TempDir(), nil, brokerVerb).addr,
		"127.0.0.1:2113": freeAddress(t), "127.0.0.1:8123": freeAddress(t),
		"127.0.0.1:8080": "127.0.0.1:0", "127.0.0.1:8081": "127.0.0.1:0", "127.0.0.1:9465": "127.0.0.1:0",
	}
	dir, exported := t.TempDir(), "true"
	var serving []*process
	for _, c := range commandsOf(document(t, "docs/operations.md")) {
		if c.heading != "Several instances" {
			continue
		}
		text := replaced(c.text, here)
		if strings.HasPrefix(text, "export ") {
			exported = text
			continue
		}
		self, _ := os.Executable()
		text = "exec env " + strings.Replace(text, "recapito ", self+" ", 1)
		if strings.Contains(text, "eventlog serve") {
			text += " --addr " + here["127.0.0.1:2113"]
		}
		if strings.Contains(text, "clickhouse --dir") {
			text += " --addr " + here["127.0.0.1:8123"]
		}
		script := exec.Command("bash", "-c", "set -eu\n"+exported+"\n"+text)
		script.Dir = dir
		p := startCommand(t, script)
		if strings.Contains(text, " serve --data") && !strings.Contains(text, "eventlog") {
			serving = append(serving, p)
			continue
		}
		eventually(t, time.Minute, func() error {
			if !addressLine.MatchString(p.out.String()) {
				return fmt.Errorf("%s has not said its address", p.name())
			}
			return nil
		})
	}
	if len(serving) != 2 {
		t.Fatalf("%d instances were started", len(serving))
	}
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	instanceOf(t, serving[0], one)
	instanceOf(t, serving[1], two)
	mustVerb(t, "keys", "create", "--label", "known-to-both", "--data", one)
	eventually(t, time.Minute, func() error {
		if out := mustVerb(t, "keys", "list", "--data", two); !strings.Contains(out, "known-to-both") {
			return errors.New("the other instance does not know the key")
		}
		return nil
	})
	for _, p := range serving {
		p.stop()
	}
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

var handledLine = regexp.MustCompile(`(?m)^recapito_bus_handler_execution_time_seconds_count\{.*\} (\d+)$`)

// handled is how many messages the instance took off the bus.
func (s *served) handled(t *testing.T) (n int, err error) {
	i, err := instance.Find(s.dir)
	if err != nil {
		return 0, err
	}
	for _, m := range handledLine.FindAllStringSubmatch(get(t, "http://"+i.Metrics+"/metrics"), -1) {
		count, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, err
		}
		n += count
	}
	return n, nil
}
