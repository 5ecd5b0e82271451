package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"recapito/readmodels"
)

type reportMetricsCmd struct {
	reportFlags
	Filter []string `short:"f" help:"Only this; again for more: ${rollup_dimensions}." placeholder:"COLUMN=VALUE" sep:"none"`
}

// metricsBack is how far the values go back if no time is given.
const metricsBack = 24 * time.Hour

// Run prints the catalogue with its values.
func (r reportMetricsCmd) Run(ctx context.Context, t terminal) error {
	if r.From == "" {
		r.From = metricsBack.String()
	}
	step := time.Hour
	if ago, err := time.ParseDuration(r.From); err == nil && ago%(24*time.Hour) == 0 {
		step = 24 * time.Hour // so that what is counted by day has values too
	}
	a, err := r.asks("/v1/reports/metrics", step, r.Filter)
	if err != nil {
		return err
	}
	return r.answer(ctx, t, a, func(raw json.RawMessage) error {
		var report struct{ Metrics []readmodels.MetricValue }
		if err := json.Unmarshal(raw, &report); err != nil {
			return fmt.Errorf("reading the response: %w", err)
		}
		until := "now"
		if to := a.query.Get("to"); to != "" {
			until = to
		}
		_, _ = fmt.Fprintf(t.out, "from %s until %s\n", a.query.Get("from"), until)
		printMetrics(t, report.Metrics)
		return nil
	})
}

func printMetrics(t terminal, all []readmodels.MetricValue) {
	table := newReportTable("METRIC", "VALUE", "UNIT", "BASIS", "MEANING")
	table.numbers, table.least = []string{"VALUE"}, []string{"MEANING", "BASIS"}
	for _, m := range all {
		value, unit := "", m.Unit
		if unit == "ratio" {
			unit = "%"
		}
		switch {
		case m.Value == nil:
		case m.Unit == "ratio":
			value = fmt.Sprintf("%.2f", *m.Value*100)
		default:
			value = thousands(uint64(*m.Value)) // counts, never negative
		}
		table.row(m.Name, value, unit, m.Basis, m.Meaning)
	}
	table.print(t)
}
