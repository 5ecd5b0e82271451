package catalogue_test

import (
	"slices"
	"testing"

	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/checkpoint"
	"recapito/domain/deadline"
	"recapito/domain/event"
	"recapito/domain/lease"
	"recapito/domain/mark"
	"recapito/domain/notification"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// aggregate is one of the catalogue, with a stream of it.
type aggregate struct {
	title, prefix, stream, about string
	definitions                  []event.Definition
}

// aggregates in the order of docs/events.md.
var aggregates = []aggregate{
	{"Notification", notification.StreamPrefix, notification.Stream("0198f000-0000-7000-8000-000000000001"),
		"One message to one person, from its request to its final state. Stream `notification-<id>`.", notification.Definitions()},
	{"Receipt", receipt.StreamPrefix, receipt.Stream("smsc", "26"),
		"What a provider reports, joined with what was submitted to it. Stream `receipt-<route>-<canonical provider id>`.", receipt.Definitions()},
	{"Tenant", tenant.StreamPrefix, tenant.Stream("acme"),
		"The API keys of a tenant. Stream `tenant-<name>`.", tenant.Definitions()},
	{"Audit", audit.StreamPrefix, audit.Stream("acme", noon),
		"Calls of the API that no other event tells of. Stream `audit-<tenant, or _ where it is not known>-<yyyymmdd>`.", audit.Definitions()},
	{"Deadline", deadline.StreamPrefix, "deadline-20260301T1200Z-3",
		"What is to be looked at again, and when. Stream `deadline-<yyyymmddThhmmZ>-<shard>`.", deadline.Definitions()},
	{"Checkpoint", checkpoint.StreamPrefix, checkpoint.ProjectionStream("edr"),
		"How far a reader of `$all` has got. Streams `checkpoint-projection-<name>`, `checkpoint-runner-<name>`, `checkpoint-deadlines`; the newest event holds everything.", checkpoint.Definitions()},
	{"Lease", lease.StreamPrefix, lease.Stream("projection-edr"),
		"Which of several instances does what only one needs to do. Streams `lease-projection-<name>`, `lease-deadlines`, `lease-matcher`, `lease-marks`; the newest event holds everything.", lease.Definitions()},
	{"Mark", mark.StreamPrefix, mark.Stream,
		"How many ledger events were known when. Stream `mark-ledger`, kept for ever.", mark.Definitions()},
}

func TestTheCatalogueHoldsEveryAggregate(t *testing.T) {
	var defs []event.Definition
	for _, a := range aggregates {
		defs = append(defs, a.definitions...)
	}
	listed, err := event.NewCodec(defs...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := codec(t).Names(), listed.Names(); !slices.Equal(got, want) {
		t.Errorf("the catalogue and the list of aggregates here differ:\n%v\n%v", got, want)
	}
}

// A stream is either operational, or at a prefix by which ledger readers filter: an
// aggregate that is neither would be missing from the ledger.
func TestEveryAggregateIsOperationalOrInTheLedger(t *testing.T) {
	operational := []string{"deadline-", "checkpoint-", "lease-", mark.StreamPrefix}
	for _, a := range aggregates {
		filtered := slices.Contains(event.LedgerPrefixes, a.prefix)
		if ledger := event.IsLedger(a.stream); ledger != filtered {
			t.Errorf("%s: is a ledger stream: %v; ledger readers see it: %v", a.prefix, ledger, filtered)
		} else if ledger == slices.Contains(operational, a.prefix) {
			t.Errorf("%s: is a ledger stream: %v", a.prefix, ledger)
		}
		if !(event.Filter{StreamPrefixes: []string{a.prefix}}).Passes(a.stream, "") {
			t.Errorf("%s is not at its prefix", a.stream)
		}
	}
}

func codec(t *testing.T) *event.Codec {
	t.Helper()
	c, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}
