package clickhouse_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"recapito/adapters/clickhouse"
)

// A response larger than all the memory that the child may have streams through it in
// every format (with RECAPITO_TEST_FULL; in two of them without), and a query that needs
// more than there is fails alone.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("measures memory")
	}
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	const limit, responseBytes = 512 << 20, 600 << 20
	needLibrary(t)
	s := start(t, childOptions(t.TempDir(), "--memory", fmt.Sprint(limit)))
	type test struct{ format, revision string }
	tests := []test{{"TSV", ""}, {"Native", "54460"}} // the engine's own text, and blocks that the front encodes anew
	if os.Getenv("RECAPITO_TEST_FULL") != "" {
		tests = append(tests, test{"Native", ""}, test{"JSON", ""}, test{"CSVWithNames", ""}, test{"Parquet", ""}, test{"Arrow", ""}, test{"RowBinaryWithNamesAndTypes", ""})
	}
	for _, test := range tests {
		params := q("query", fmt.Sprintf("SELECT number, randomPrintableASCII(1) || repeat('x', 100) AS s FROM numbers(%d)", responseBytes/100),
			"default_format", test.format, "client_protocol_version", test.revision,
			"output_format_parquet_compression_method", "none", "output_format_arrow_compression_method", "none")
		resp, err := http.Get(s.URL() + "/?" + params.Encode())
		must(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != 200 || n < responseBytes*9/10 && test.format != "Parquet" { // which keeps equal bytes once
			t.Errorf("%s %s: %d, %d bytes", test.format, test.revision, resp.StatusCode, n)
		}
	}
	for range 3 {
		if a := get(t, s.URL(), q("query", "SELECT length(groupArray(repeat('x', 1000) || toString(number))) FROM numbers(10000000)")); a.code() != "241" {
			t.Errorf("a query that needs too much: %d %.200s", a.status, a.body)
		}
	}
	if s.Restarts() != 0 {
		t.Error("the process did not stay")
	}
	// What the engine counts is not all that the system counts: the library's own pages are
	// not. A response held in memory would be far beyond this. The race detector's own memory, of
	// which it takes several times what it watches, says nothing of the product.
	if peak := peakBytes(t, s.PID()); peak > limit+limit/2 && !raceEnabled {
		t.Errorf("the child took %d MiB, its limit is %d", peak>>20, limit>>20)
	} else {
		t.Logf("the child took at most %d MiB of %d", peak>>20, limit>>20)
	}
}

// A reader has a part of the memory, and its large statements go to disk before that is full.
func TestReadersSpill(t *testing.T) {
	needLibrary(t)
	o := childOptions(t.TempDir(), "--memory", fmt.Sprint(512<<20))
	o.Readers = []clickhouse.Reader{{Name: "default", Tenant: "a"}}
	s := start(t, o)
	bare := "http://" + strings.SplitN(s.URL(), "@", 2)[1]
	for _, statement := range []string{
		"SELECT number, groupArray(number) FROM numbers(3000000) GROUP BY number FORMAT Null",
		"SELECT number, toString(number) FROM numbers(3000000) ORDER BY sipHash64(number) FORMAT Null",
	} {
		if a := post(t, bare, nil, statement); a.status != 200 {
			t.Errorf("%s: %d %.200s", statement, a.status, a.body)
		}
	}
	if a := post(t, bare, nil, "SELECT length(groupArray(number)) FROM numbers(100000000)"); a.code() != "241" {
		t.Errorf("one that cannot: %d %.200s", a.status, a.body)
	}
}

// peakBytes is the most memory that a process had.
func peakBytes(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
