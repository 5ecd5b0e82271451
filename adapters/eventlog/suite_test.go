package eventlog_test

import (
	"testing"

	"recapito/adapters/eventlog"
	"recapito/commands"
	"recapito/commands/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) commands.Store {
		log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := log.Close(); err != nil {
				t.Error(err)
			}
		})
		return log
	})
}
