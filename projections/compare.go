package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"recapito/domain/event"
	"recapito/readmodels"
)

// Difference is a place where the read models are not what a fold of the store says.
type Difference struct {
	Table string // events or edr
	Key   string // stream@revision, or tenant/day/notification/attempt
	What  string // missing, extra, repeated, or the columns that differ
}

func (d Difference) String() string { return fmt.Sprintf("%s %s: %s", d.Table, d.Key, d.What) }

// maxDifferences is how many are told; more say nothing new.
const maxDifferences = 100

var errEnough = errors.New("enough differences")

// Compare holds every row of events and edr against a fold of the store, and answers
// where they differ (at most 100). Both must stand still while it looks. It keeps the
// whole ledger in memory: it is for tests and the sandbox.
func Compare(ctx context.Context, source Source, codec *event.Codec, conn readmodels.Conn) ([]Difference, error) {
	c := &comparison{}
	var want []readmodels.EventRow
	fold := newEDRFold(codec)
	counts := map[readmodels.RollupCell]int64{}
	notifications := newNotificationFold(codec)
	err := source.ReadAll(ctx, event.AllRead{Filter: ledgerFilter()}, func(r event.Recorded) error {
		seq := uint64(len(want))
		want = append(want, eventRow(LedgerEvent{Recorded: r, Seq: seq}))
		return errors.Join(fold.add(r, seq), foldRollup(codec, r, counts), notifications.add(LedgerEvent{Recorded: r, Seq: seq}))
	})
	if err != nil {
		return nil, fmt.Errorf("folding the store: %w", err)
	}
	if err := c.events(ctx, conn, want); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	got, err := readmodels.AllEDRs(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := c.notifications(ctx, conn, notifications.rows()); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	attempts := fold.rows()
	if err := c.edr(attempts, got); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	accounting, err := readmodels.AllAccounting(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := c.accounting(FoldAccounting(attempts), accounting); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	rollups, err := readmodels.AllRollups(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := c.rollups(counts, rollups); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return c.found, nil
}

func (c *comparison) notifications(ctx context.Context, conn readmodels.Conn, want []readmodels.Notification) error {
	key := func(n readmodels.Notification) string { return n.Tenant + "/" + n.Notification }
	rest := make(map[string]readmodels.Notification, len(want))
	for _, n := range want {
		rest[key(n)] = n
	}
	err := readmodels.AllNotifications(ctx, conn, func(got readmodels.Notification) error {
		w, is := rest[key(got)]
		delete(rest, key(got))
		what := differ(w, got)
		if !is {
			what = "extra or repeated"
		}
		if what == "" {
			return nil
		}
		return c.add("notifications", key(got), what)
	})
	if err != nil {
		return err
	}
	for missing := range rest {
		if err := c.add("notifications", missing, "missing"); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) rollups(want, got map[readmodels.RollupCell]int64) error {
	for cell, n := range want {
		if got[cell] == n {
			continue
		}
		if err := c.add("rollups", fmt.Sprintf("%s/%s/%s", cell.Tenant, cell.Start.Format(time.RFC3339), cell.Measure), fmt.Sprintf("n is %d, not %d", got[cell], n)); err != nil {
			return err
		}
	}
	for cell := range got {
		if want[cell] == 0 {
			if err := c.add("rollups", fmt.Sprintf("%s/%s/%s", cell.Tenant, cell.Start.Format(time.RFC3339), cell.Measure), "extra"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) accounting(want, got map[readmodels.AccountingCell]readmodels.AccountingSums) error {
	key := func(k readmodels.AccountingCell) string {
		return strings.Join([]string{k.Tenant, k.Day.Format(time.DateOnly), k.Channel, k.Scenario, k.Brand, k.Segment, k.Campaign, k.Route, k.Operator, k.Country, k.Status}, "/")
	}
	for cell, sums := range want {
		there, is := got[cell]
		what := differ(sums, there)
		if !is {
			what = "missing"
		}
		if what == "" {
			continue
		}
		if err := c.add("accounting", key(cell), what); err != nil {
			return err
		}
	}
	for cell := range got {
		if _, is := want[cell]; !is {
			if err := c.add("accounting", key(cell), "extra"); err != nil {
				return err
			}
		}
	}
	return nil
}

type comparison struct{ found []Difference }

func (c *comparison) add(table, key, what string) error {
	c.found = append(c.found, Difference{table, key, what})
	if len(c.found) >= maxDifferences {
		return errEnough
	}
	return nil
}

func (c *comparison) events(ctx context.Context, conn readmodels.Conn, want []readmodels.EventRow) error {
	key := func(r readmodels.EventRow) string { return fmt.Sprintf("%s@%d", r.Stream, r.Revision) }
	seen := make([]bool, len(want))
	err := readmodels.AllEvents(ctx, conn, func(got readmodels.EventRow) error {
		switch {
		case got.Seq >= uint64(len(want)):
			return c.add("events", key(got), "extra")
		case seen[got.Seq]:
			return c.add("events", key(got), "repeated")
		}
		seen[got.Seq] = true
		if columns := differ(want[got.Seq], got); columns != "" {
			return c.add("events", key(want[got.Seq]), columns)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, found := range seen {
		if !found {
			if err := c.add("events", key(want[i]), "missing"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *comparison) edr(want, got []readmodels.EDR) error {
	key := func(r readmodels.EDR) string {
		return fmt.Sprintf("%s/%s/%s/%d", r.Tenant, r.DayText, r.Notification, r.Attempt)
	}
	rest := make(map[string]readmodels.EDR, len(want))
	for _, r := range want {
		rest[key(r)] = r
	}
	seen := make(map[string]bool, len(got))
	for _, r := range got {
		w, ok := rest[key(r)]
		delete(rest, key(r))
		what := ""
		switch {
		case seen[key(r)]:
			what = "repeated"
		case !ok:
			what = "extra"
		default:
			what = differ(w, r)
		}
		seen[key(r)] = true
		if what == "" {
			continue
		}
		if err := c.add("edr", key(r), what); err != nil {
			return err
		}
	}
	for _, r := range want {
		if _, missing := rest[key(r)]; !missing {
			continue
		}
		if err := c.add("edr", key(r), "missing"); err != nil {
			return err
		}
	}
	return nil
}

// differ names the columns in which two rows of one type differ; never their content.
func differ(want, got any) string {
	return strings.Join(columnsThatDiffer(nil, reflect.ValueOf(want), reflect.ValueOf(got)), ", ")
}

func columnsThatDiffer(names []string, want, got reflect.Value) []string {
	for i := range want.NumField() {
		field := want.Type().Field(i)
		if field.Anonymous {
			names = columnsThatDiffer(names, want.Field(i), got.Field(i))
			continue
		}
		if !same(want.Field(i).Interface(), got.Field(i).Interface()) {
			names = append(names, field.Tag.Get("ch"))
		}
	}
	return names
}

func same(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		return a.Equal(b.(time.Time))
	case *time.Time:
		b := b.(*time.Time)
		return a == nil && b == nil || a != nil && b != nil && a.Equal(*b)
	case map[string]string:
		return maps.Equal(a, b.(map[string]string)) // none and empty are the same
	}
	return reflect.DeepEqual(a, b)
}
