package catalogue_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"recapito/domain/domaintest"
	"recapito/domain/event"
)

const docsFile = "../../docs/events.md"

// docs/events.md is what the codec says of itself.
func TestEventsDocumentIsUpToDate(t *testing.T) {
	want := eventsDocument(t)
	if *update {
		write(t, docsFile, []byte(want))
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := domaintest.Diff(strings.Split(want, "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("docs/events.md is out of date (-codec +file); `go test ./domain/catalogue -update` writes it again:\n%s", diff)
	}
}

func TestEveryEventSaysWhatItMeans(t *testing.T) {
	for _, d := range codec(t).Describe() {
		if !strings.HasSuffix(d.Doc, ".") || len(d.Doc) < 10 {
			t.Errorf("%s needs a sentence that says what it means (event.Doc)", d.Name)
		}
	}
}

const preamble = `# Events

<!-- Generated from the codec: go test ./domain/catalogue -update -->

Every event that a store can hold, by the name it is stored under. Names and fields are the storage format: a name is
never renamed or used again; a change that old readers could not bear is a new name and an upcast. The golden files in
` + "`domain/catalogue/testdata/golden`" + ` show one of each.

- The metadata of every event: ` + "`tenant`, `actor`, `$correlationId`, `$causationId`, `occurred_at`, `recorded_at`, `traceparent`, `test`" + `.
- *Personal* fields are sealed under the person's key: in the store each is an object of ` + "`person`, `key`, `nonce`, `ciphertext`, `commitment`" + `.
- Times are RFC 3339 in UTC; ` + "`[]`" + ` stands for each of a list, ` + "`{}`" + ` for each member of an object with free keys; durations are texts like ` + "`1m30s`" + `.
- *Occurred at* says which field the metadata's ` + "`occurred_at`" + ` comes from, and which stand in, in order, where it is not told.
`

func eventsDocument(t *testing.T) string {
	var b strings.Builder
	b.WriteString(preamble)
	for _, a := range aggregates {
		c, err := event.NewCodec(a.definitions...)
		if err != nil {
			t.Fatal(err)
		}
		kind := "Ledger events."
		if !event.IsLedger(a.stream) {
			kind = "Operational: not part of the ledger."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s %s\n", a.title, a.about, kind)
		for _, d := range c.Describe() {
			describe(&b, d)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, d event.Description) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", d.Name, d.Doc)
	if len(d.Old) > 0 {
		fmt.Fprintf(b, "\nStored before as: `%s`.\n", strings.Join(d.Old, "`, `"))
	}
	if fields := occurredAt(samples[d.Name]); len(fields) > 0 {
		fmt.Fprintf(b, "\nOccurred at: `%s`.\n", strings.Join(fields, "`, else `"))
	}
	if len(d.Fields) == 0 {
		b.WriteString("\nNo fields.\n")
		return
	}
	b.WriteString("\n| field | type | |\n|---|---|---|\n")
	for _, f := range d.Fields {
		typ := f.Type
		if f.Personal {
			typ = "**personal**"
		}
		note := f.Doc
		if f.Optional {
			note = strings.TrimSuffix("left out when empty; "+note, "; ")
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Path, typ, note)
	}
}
