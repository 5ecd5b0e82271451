package projections_test

import (
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }
