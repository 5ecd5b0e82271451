package reports

import (
	"context"
	"slices"
	"strings"

	"recapito/api/reports/export"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

// CountParameters narrow counts by what all of them have.
type CountParameters struct {
	Channel  string `query:"channel"`
	Scenario string `query:"scenario"`
	Brand    string `query:"brand"`
	Segment  string `query:"segment"`
	Campaign string `query:"campaign"`
	Operator string `query:"operator"`
	Country  string `query:"country"`
	Test     string `query:"test" enum:"true,false"`
}

// counted is a report of counts, whose lines all fit into memory.
func counted[L any](name string, q readmodels.CountQuery, lines func(context.Context) ([]L, error), body func([]L) any) *asked {
	all := readmodels.ColumnsOf[L]()
	var shown []int // of the columns: the groups and what is counted
	var columns []readmodels.Column
	for i, c := range all {
		dimension := slices.Contains(readmodels.AccountingDimensions(), c.Name) || slices.Contains(readmodels.RollupDimensions(), c.Name) || c.Name == "tenant"
		if c.Name == "day" && slices.Contains(q.GroupBy, "month") {
			c.Name = "month"
		}
		if !dimension || slices.Contains(q.GroupBy, c.Name) {
			shown, columns = append(shown, i), append(columns, c)
		}
	}
	query := map[string]any{"group_by": q.GroupBy}
	for d, values := range q.Where {
		query[d] = values
	}
	addPeriod(query, q.From, q.To)
	return &asked{
		manifest: export.Manifest{Report: name, Query: query}, columns: columns,
		page: func(ctx context.Context) (any, error) {
			rows, err := lines(ctx)
			if rows == nil {
				rows = []L{}
			}
			return body(rows), err
		},
		each: func(ctx context.Context, row func([]any) error) error {
			rows, err := lines(ctx)
			if err != nil {
				return err
			}
			var every, values []any
			for _, r := range rows {
				every, values = readmodels.ValuesOf(every[:0], r), values[:0]
				for _, i := range shown {
					values = append(values, every[i])
				}
				if err := row(values); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// where is what counts are narrowed to.
func (in *CountParameters) where(ps *parameters, more map[string]string) map[string][]string {
	is := map[string]string{
		"channel": ps.name("channel", in.Channel), "scenario": ps.name("scenario", in.Scenario),
		"brand": ps.text("brand", in.Brand), "segment": ps.text("segment", in.Segment), "campaign": ps.text("campaign", in.Campaign),
		"operator": ps.text("operator", in.Operator), "country": ps.text("country", in.Country),
		"test": ps.one("test", in.Test, "true", "false"),
	}
	where := map[string][]string{}
	for _, given := range []map[string]string{is, more} {
		for d, value := range given {
			if value != "" {
				where[d] = []string{value}
			}
		}
	}
	return where
}

// names are names separated by commas, each one of those known and given once.
func (ps *parameters) names(field, value, standard string, known []string) []string {
	if value == "" {
		value = standard
	}
	all := strings.Split(value, ",")
	for i, name := range all {
		if !slices.Contains(known, name) || slices.Contains(all[:i], name) {
			ps.add(field, strictjson.InvalidValue, "must be names of "+strings.Join(known, ", ")+", each once")
			break
		}
	}
	return all
}
