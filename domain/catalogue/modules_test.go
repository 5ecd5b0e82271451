package catalogue_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"recapito/domain/catalogue"
	"recapito/domain/event"
)

func TestEveryModuleIsComplete(t *testing.T) {
	for _, m := range catalogue.Modules() {
		if m.Title == "" || !strings.HasSuffix(m.About, ".") || len(m.Definitions) == 0 || m.Samples == nil {
			t.Errorf("%s: the title, a sentence about it, the definitions or the samples are missing", m.Prefix)
		}
		if !strings.HasSuffix(m.Prefix, "-") || !(event.Filter{StreamPrefixes: []string{m.Prefix}}).Passes(m.Stream, "") {
			t.Errorf("%s is not at the prefix %s", m.Stream, m.Prefix)
		}
		if m.Operational != (m.Phrase == nil) {
			t.Errorf("%s: the ledger's modules have phrases, the operational ones have none", m.Prefix)
		}
	}
}

// A prefix within another would give the events of one module to the readers of the other.
func TestPrefixesAreApart(t *testing.T) {
	for i, m := range catalogue.Modules() {
		for j, other := range catalogue.Modules() {
			if i != j && strings.HasPrefix(m.Prefix, other.Prefix) {
				t.Errorf("%s begins with %s", m.Prefix, other.Prefix)
			}
		}
	}
}

// A stream is either operational, or at a prefix by which the ledger's readers filter.
func TestLedgerStreams(t *testing.T) {
	for _, m := range catalogue.Modules() {
		filtered := slices.Contains(catalogue.LedgerPrefixes(), m.Prefix)
		if ledger := catalogue.IsLedger(m.Stream); ledger == m.Operational || filtered != ledger {
			t.Errorf("%s: is operational: %v; is a ledger stream: %v; the ledger's readers see it: %v", m.Prefix, m.Operational, ledger, filtered)
		}
	}
	for stream, ledger := range map[string]bool{
		"notification-1": true, "receipt-smsc-26": true, "tenant-acme": true, "audit-acme-20260301": true,
		"$settings": false, "$$notification-1": false, "deadline-20260301T1200Z-0": false,
		"checkpoint-projection-edr": false, "lease-edr": false, "mark-0": false,
	} {
		if catalogue.IsLedger(stream) != ledger {
			t.Errorf("%s is taken for a ledger stream: %v", stream, !ledger)
		}
	}
}

// Every ledger event has a sentence of its own in the audit trail, without personal values.
func TestEveryLedgerEventHasAPhrase(t *testing.T) {
	for _, m := range catalogue.Modules() {
		if m.Operational {
			continue
		}
		if m.Phrase(struct{}{}) != "" {
			t.Errorf("%s has a phrase for what is no event of it", m.Title)
		}
		for _, sample := range m.Samples() {
			phrase := m.Phrase(sample)
			if len(phrase) < 10 || !strings.HasSuffix(phrase, ".") || strings.HasPrefix(phrase, "Something ") {
				t.Errorf("%s: %q is not a sentence", nameOf(t, sample), phrase)
			}
			for _, clear := range inClear {
				if strings.Contains(phrase, clear) {
					t.Errorf("%s: the phrase has a personal value", nameOf(t, sample))
				}
			}
		}
	}
}

func codec(t testing.TB) *event.Codec {
	t.Helper()
	c, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sampled is an event's sample, and the module that it belongs to.
type sampled struct {
	module event.Module
	event  any
}

// samples returns those of all modules by the stored name; each name has exactly one.
func samples(t testing.TB) map[string]sampled {
	t.Helper()
	all := map[string]sampled{}
	for _, m := range catalogue.Modules() {
		for _, sample := range m.Samples() {
			name := nameOf(t, sample)
			if !slices.Contains(m.Names(), name) {
				t.Errorf("%s has a sample of %s, which is not its event", m.Title, name)
			}
			if _, twice := all[name]; twice {
				t.Errorf("%s has two samples", name)
			}
			all[name] = sampled{m, sample}
		}
	}
	return all
}

// nameOf returns the stored name of an event.
func nameOf(t testing.TB, e any) string {
	t.Helper()
	for _, d := range codec(t).Describe() {
		if d.Go == reflect.TypeOf(e).String() {
			return d.Name
		}
	}
	t.Fatalf("%T has no definition", e)
	return ""
}
