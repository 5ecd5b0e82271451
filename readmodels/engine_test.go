package readmodels_test

import (
	"flag"
	"os"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"recapito/adapters/clickhouse"
	"recapito/adapters/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) {
	os.Exit(clickhousetest.Run(func() int {
		flag.Parse()
		_ = flag.Set("rapid.checks", "15") // each asks the engine many times
		return m.Run()
	}))
}

// engine is the one that the tests of this package share.
func engine(tb testing.TB) *clickhouse.Supervised { return clickhousetest.Shared(tb, biReader) }

// open returns a connection on an empty database of the test's own.
func open(tb testing.TB) driver.Conn { return clickhousetest.Database(tb, biReader) }
