package cmd

import (
	"strings"
	"testing"

	"recapito/adapters/clickhouse"
)

// An instance under traffic is complete, and what somebody changes in it by hand is found.
func TestAuditReconcile(t *testing.T) {
	t.Parallel()
	dir, i := sharedSandbox(t)
	for range 3 {
		if out, err := verb(t, "send", "appointment", "--data", dir, "--to", "sms=+393331234567", "--field", "day=Monday"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	out, err := verb(t, "audit", "reconcile", "--data", dir)
	if err != nil || !strings.Contains(out, " 0 differences\n") {
		t.Fatalf("an instance that runs: %v\n%s", err, out)
	}
	conn, err := clickhouse.Open("http://" + clickhouse.Writer + ":" + i.ClickHousePassword + "@" + i.ClickHouse)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var table string
	if err := conn.QueryRow(t.Context(), "SELECT built FROM accounting_cut(cut = 0)").Scan(&table); err != nil {
		t.Fatal(err)
	}
	err = conn.Exec(t.Context(), "INSERT INTO "+table+" (tenant, day, status, messages, first_seq, last_seq) VALUES ('planted', '2026-01-01', 'sent', 7, 0, 0)")
	if err != nil {
		t.Fatal(err)
	}
	out, err = verb(t, "audit", "reconcile", "--data", dir, "--json")
	if err == nil || !strings.Contains(out, `"table":"accounting","key":"planted/2026-01-01/`) || !strings.Contains(out, "messages is 7, not 0") {
		t.Errorf("with a planted row: %v\n%s", err, out)
	}
}
