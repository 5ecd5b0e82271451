package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recapito/adapters/clickhouse"
)

const (
	connectVersion = "0.8.18" // clickhouse-connect's
	jdbcVersion    = "0.9.8"  // clickhouse-jdbc's, as testdata/jdbc/pom.xml has it

	fetchPatience = 10 * time.Minute
	peerPatience  = 3 * time.Minute
)

// peer starts an engine for another program, which gets its port and the two passwords.
func peer(t *testing.T) (arguments []string) {
	t.Helper()
	needLibrary(t)
	o := childOptions(t.TempDir())
	o.Readers = []clickhouse.Reader{{Name: "bi", Tenant: "a", PasswordSHA256: hash("reads")}}
	s := start(t, o)
	u, err := url.Parse(s.URL())
	must(t, err)
	return []string{u.Port(), s.Password(), "reads"}
}

// needPeers skips unless the test may fetch and run a peer, and when its tool is missing.
func needPeers(t *testing.T, tools ...string) {
	t.Helper()
	if os.Getenv("RECAPITO_TEST_PEERS") == "" {
		t.Skip("set RECAPITO_TEST_PEERS=1 to run it against other programs (make test-peers)")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// cached is a folder in the user's cache, filled once by fill.
func cached(t *testing.T, name string, fill func(dir string)) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	dir := filepath.Join(cache, "recapito", name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		must(t, os.MkdirAll(filepath.Dir(dir), 0o700))
		part, err := os.MkdirTemp(filepath.Dir(dir), name+"-")
		must(t, err)
		defer os.RemoveAll(part)
		fill(part)
		must(t, os.Rename(part, dir))
	}
	return dir
}

func run(t *testing.T, patience time.Duration, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %.3000s", filepath.Base(name), err, out)
	}
	return string(out)
}

func TestPeerClickHouseConnect(t *testing.T) {
	needPeers(t, "python3")
	libraries := cached(t, "clickhouse-connect-"+connectVersion, func(dir string) {
		run(t, fetchPatience, "python3", "-m", "pip", "install", "--quiet", "--target", dir, "clickhouse-connect=="+connectVersion)
	})
	t.Setenv("PYTHONPATH", libraries)
	if out := run(t, peerPatience, "python3", append([]string{"testdata/connect.py"}, peer(t)...)...); !strings.HasPrefix(out, "ok") {
		t.Errorf("it says %s", out)
	}
}

func TestPeerJDBC(t *testing.T) {
	needPeers(t, "java", "mvn")
	libraries := cached(t, "clickhouse-jdbc-driver-"+jdbcVersion, func(dir string) {
		run(t, fetchPatience, "mvn", "-q", "-B", "-f", "testdata/jdbc/pom.xml", "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	})
	out := run(t, peerPatience, "java", append([]string{"-Xmx512m", "-cp", filepath.Join(libraries, "*"), "testdata/jdbc/Peer.java"}, peer(t)...)...)
	if !strings.HasSuffix(out, "ok\n") {
		t.Errorf("it says %s", out)
	}
}

func TestPeerCurl(t *testing.T) {
	needPeers(t, "curl")
	p := peer(t)
	base, writer := "http://127.0.0.1:"+p[0], "recapito:"+p[1]
	curl := func(arguments ...string) string {
		return run(t, peerPatience, "curl", append([]string{"-sS", "-u", writer}, arguments...)...)
	}
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{base + "/ping"}, "Ok.\n"},
		{[]string{base + "/?query=SELECT+1"}, "1\n"},
		{[]string{base, "--data-binary", "SELECT 1 AS a FORMAT JSONEachRow"}, "{\"a\":1}\n"},
		{[]string{"-G", base, "--data-urlencode", "query=SELECT {x:UInt8} + 1", "-d", "param_x=2"}, "3\n"},
		{[]string{base, "--data-binary", "CREATE TABLE c_v1 (tenant String, n UInt64) ENGINE = MergeTree ORDER BY n"}, ""},
		{[]string{base, "--data-binary", "CREATE VIEW c AS SELECT * FROM c_v1"}, ""},
		{[]string{base + "/?query=INSERT+INTO+c_v1+FORMAT+CSV", "--data-binary", "a,1\nb,2\n"}, ""},
		{[]string{base, "--data-binary", "SELECT sum(n) FROM c"}, "3\n"},
		{[]string{base, "-u", "bi:reads", "--data-binary", "SELECT * FROM c"}, "a\t1\n"},
		{[]string{base + "/?enable_http_compression=1", "--compressed", "--data-binary", "SELECT max(number) FROM numbers(10)"}, "9\n"},
		{[]string{"-o", "/dev/null", "-w", "%{http_code}", base, "--data-binary", "SELECT * FROM nosuch"}, "404"},
		{[]string{"-o", "/dev/null", "-w", "%{http_code}", "-u", "bi:wrong", base, "--data-binary", "SELECT 1"}, "403"},
	} {
		if got := curl(test.arguments...); got != test.want {
			t.Errorf("curl %s: %q, want %q", fmt.Sprint(test.arguments), got, test.want)
		}
	}
}
