package clickhouse_test

import (
	"bytes"
	"strings"
	"testing"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// Blocks at a revision are those of revision 0 with what the revision adds.
func TestNativeAtARevision(t *testing.T) {
	base := engine(t).URL()
	const query = `SELECT number AS n, toString(number) AS s, toLowCardinality(toString(number % 7)) AS l, [number, 1] AS a, map('k', number) AS m,
		(number, 'x')::Tuple(p UInt64, q String) AS t, if(number % 2 = 0, NULL, number) AS nn, toDateTime64(number, 3, 'UTC') AS d,
		toUUID('00000000-0000-0000-0000-000000000001') AS u, toDecimal64(number, 3) AS c, CAST(number % 2 AS Enum8('a' = 0, 'b' = 1)) AS e,
		toIPv4('127.0.0.1') AS ip, [toLowCardinality(toNullable('z'))] AS al FROM numbers(100000)`
	plain := post(t, base, q("default_format", "Native"), query).body
	for _, revision := range []string{"54405", "54460"} {
		a := post(t, base, q("default_format", "Native", "client_protocol_version", revision), query)
		if a.status != 200 || !strings.HasPrefix(a.body, "\x01\x00\x02\xff\xff\xff\xff\x00\x0d") {
			t.Fatalf("revision %s: %d, begins with %x", revision, a.status, a.body[:min(16, len(a.body))])
		}
		n := uint64(54405)
		if revision == "54460" {
			n = 54460
		}
		rows, blocks := 0, 0
		r := chproto.NewReader(bytes.NewReader([]byte(a.body)))
		for rows < 100000 {
			block := proto.NewBlock()
			must(t, block.Decode(r, n))
			rows, blocks = rows+block.Rows(), blocks+1
		}
		if extra := len(a.body) - len(plain); revision == "54405" && extra != 8*blocks || revision == "54460" && extra != (8+13)*blocks {
			t.Errorf("revision %s: %d bytes more in %d blocks", revision, extra, blocks)
		}
	}
	// A failure within comes as one, and a type that is not known says so.
	if a := post(t, base, q("default_format", "Native", "client_protocol_version", "54460"), "SELECT throwIf(number = 3) FROM numbers(10)"); a.code() != "395" {
		t.Errorf("failure: %d %s", a.status, a.body)
	}
	if a := post(t, base, q("default_format", "Native", "client_protocol_version", "54460"), "SELECT sumState(number) FROM numbers(10)"); a.code() != "48" {
		t.Errorf("unknown type: %d %s", a.status, a.body)
	}
	if a := post(t, base, q("default_format", "Native", "client_protocol_version", "54460"), "SELECT 1 WHERE 0"); a.status != 200 {
		t.Errorf("no rows: %d %s", a.status, a.body)
	}
}
