package catalogue_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/domaintest"
	"recapito/domain/event"
	"recapito/domain/personal/personaltest"
	"recapito/projections"
)

const docsFile = "../../docs/events.md"

// docs/events.md is made from the modules and the codec.
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

<!-- Generated from the list of modules: go test ./domain/catalogue -update -->

Every event that a store can hold, by the name it is stored under. Names and fields are the storage format: a name is
never renamed or used again; a change that old readers could not bear is a new name and an upcast. The golden files in
` + "`domain/catalogue/testdata/golden`" + ` show one of each.

- The metadata of every event: ` + "`tenant`, `actor`, `$correlationId`, `$causationId`, `occurred_at`, `recorded_at`, `traceparent`, `test`" + `.
- *Personal* fields are sealed under the person's key: in the store each is an object of ` + "`person`, `key`, `nonce`, `ciphertext`, `commitment`" + `.
- Times are RFC 3339 in UTC; ` + "`[]`" + ` stands for each of a list, ` + "`{}`" + ` for each member of an object with free keys; durations are texts like ` + "`1m30s`" + `.
- *Occurred at* says which field the metadata's ` + "`occurred_at`" + ` comes from, and which stand in, in order, where it is not known.
- *Handled by* lists the packages that do something of their own with the event: their source names it. Others take it by what
  it embeds (an attempt's facts, what a notification is counted under) or through the fold, and name no event.
- *Rows in* lists the tables of the read models that the golden file's event, by itself, adds a row to.
- *In the audit trail* is the sentence that a history shows, here of the golden file's event.
`

func eventsDocument(t *testing.T) string {
	var b strings.Builder
	b.WriteString(preamble)
	all, handled := samples(t), handlers(t)
	for _, m := range catalogue.Modules() {
		kind := "Ledger events."
		if m.Operational {
			kind = "Operational: not part of the ledger."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s %s\n", m.Title, m.About, kind)
		for _, d := range codec(t).Describe() {
			if slices.Contains(m.Names(), d.Name) {
				describe(&b, d, all[d.Name], handled[d.Go], rowsIn(t, all[d.Name]))
			}
		}
	}
	return b.String()
}

// rowsIn returns the tables of the read models that an event of a caller adds a row to, if it
// is in the ledger.
func rowsIn(t *testing.T, sample sampled) (tables []string) {
	t.Helper()
	if sample.module.Operational {
		return nil
	}
	c := codec(t)
	stream := sample.module.Stream
	name, data, err := c.Encode(t.Context(), personaltest.Sealer{}, goldenTenant, stream, sample.event)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := event.EncodeMetadata(event.Metadata{Tenant: goldenTenant, Actor: audit.LocalActor, CorrelationID: "c", CausationID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	stored := projections.LedgerEvent{Recorded: event.Recorded{Stream: stream, ID: "id", Type: name, Data: data, Metadata: metadata}}
	for _, p := range projections.All(c, nil) {
		rows, aside := p.Rows([]projections.LedgerEvent{stored})
		if len(aside) > 0 {
			t.Errorf("%s does not take %s: %v", p.Name(), name, aside)
		}
		if len(rows) > 0 {
			tables = append(tables, p.Name())
		}
	}
	return tables
}

func describe(b *strings.Builder, d event.Description, sample sampled, handlers, tables []string) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n", d.Name, d.Doc)
	if sample.module.Phrase != nil {
		fmt.Fprintf(b, "\nIn the audit trail: *%s*\n", sample.module.Phrase(sample.event))
	}
	if len(handlers) > 0 {
		fmt.Fprintf(b, "\nHandled by: `%s`.\n", strings.Join(handlers, "`, `"))
	}
	if len(tables) > 0 {
		fmt.Fprintf(b, "\nRows in: `%s`.\n", strings.Join(tables, "`, `"))
	}
	if len(d.Old) > 0 {
		fmt.Fprintf(b, "\nStored before as: `%s`.\n", strings.Join(d.Old, "`, `"))
	}
	if fields := occurredAt(sample.event); len(fields) > 0 {
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
