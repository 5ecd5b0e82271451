package instance_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"recapito/cmd/config"
	"recapito/cmd/instance"
)

var update = flag.Bool("update", false, "write the generated tables")

// TestSettingsTables keeps the tables of docs/configuration.md as the channels' folders
// have them.
func TestSettingsTables(t *testing.T) {
	const page, begin, end = "../../docs/configuration.md", "<!-- settings -->\n", "<!-- /settings -->"
	var tables strings.Builder
	for _, k := range instance.Kinds {
		if k.Name == "" || k.Doc == "" || k.Settings == nil || k.Address.Normalise == nil || len(k.Content.Members) == 0 || k.Codes.Lookup == nil || k.Codes.Version == "" {
			t.Errorf("channel %q is not complete", k.Name)
		}
		tables.WriteString("\n### " + k.Name + "\n\n" + k.Doc + " Addresses are of the kind " + k.Address.Name + "; the content has " + k.Content.MemberNames() + ".\n\n" + config.SettingsTable(k))
	}
	tables.WriteString("\n")
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	listed, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the tables", page)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+tables.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if listed != tables.String() {
		t.Errorf("the tables of %s are not those of the channels; run this test with -update", page)
	}
}
