package reports

import (
	"context"
	"slices"
	"strings"

	"recapito/api/reports/export"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

// counted is a report of counts, whose lines all fit into memory.
func counted[L any](name string, q readmodels.CountQuery, lines func(context.Context) ([]L, error), body func([]L) any) *asked {
	all := readmodels.ColumnsOf[L]()
	var shown []int // of the columns: the groups and what is counted
	var columns []readmodels.Column
	for i, c := range all {
		group := c.Name == "tenant" || slices.Contains(readmodels.AccountingGroups(), c.Name) || slices.Contains(readmodels.RollupGroups(), c.Name) ||
			slices.ContainsFunc(readmodels.EDRDimensions(), func(d readmodels.Dimension) bool { return d.Name == c.Name })
		if c.Name == "day" && slices.Contains(q.GroupBy, "month") {
			c.Name = "month"
		}
		if !group || slices.Contains(q.GroupBy, c.Name) {
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
