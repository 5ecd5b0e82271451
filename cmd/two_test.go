package cmd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recapito/adapters/postgres/postgrestest"
)

// Two instances share the work of one ledger, and one of them dies in the middle: the
// other finishes everything, whether or not the first comes back.
func TestTwoInstancesAndOneDies(t *testing.T) {
	t.Parallel()
	for name, strike := range map[string]func(*served){
		"for good":       func(s *served) { s.now.kill() },
		"and comes back": (*served).strike,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoInstances(t, strike)
		})
	}
}

func twoInstances(t *testing.T, strike func(*served)) {
	keys := postgrestest.Start(t).NewDatabase("keys")
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
	openHere(t, both[1].config).wantWhole(t, filepath.Join(w.root, "smsc"), ids)
}

var handledLine = regexp.MustCompile(`(?m)^recapito_bus_handler_execution_time_seconds_count\{.*\} (\d+)$`)

// handled is how many messages the instance took off the bus.
func (s *served) handled(t *testing.T) (n int, err error) {
	i, err := findInstance(s.dir)
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
