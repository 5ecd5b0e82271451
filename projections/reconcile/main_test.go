package reconcile_test

import (
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/adapters/eventlog"
	"recapito/projections/projectionstest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

type instance struct{ *projectionstest.Instance }

// newInstance makes an instance on the embedded event store.
func newInstance(t testing.TB) *instance {
	t.Helper()
	log, err := eventlog.Open(eventlog.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return &instance{projectionstest.NewInstance(t, log)}
}
