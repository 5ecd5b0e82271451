package reports

import (
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"recapito/readmodels"
)

// DimensionFilters are the parameters that narrow a report by dimensions: one each, of the
// dimension's name. filterParameters documents them.
type DimensionFilters struct{ query url.Values }

// Resolve takes the parameters from a request.
func (f *DimensionFilters) Resolve(ctx huma.Context) []error {
	at := ctx.URL()
	f.query = at.Query()
	return nil
}

// valuesOf are the values of a dimension, where it has few.
func valuesOf(d readmodels.Dimension) []string {
	switch {
	case d.Flag:
		return []string{"true", "false"}
	case d.Name == "priority":
		return []string{"high", "normal", "low"}
	}
	return nil
}

// filterParameters documents the filters of a report by dimensions.
func filterParameters(by []readmodels.Dimension) []*huma.Param {
	var all []*huma.Param
	for _, d := range by {
		p := &huma.Param{Name: d.Name, In: "query", Description: d.Doc, Schema: &huma.Schema{Type: huma.TypeString}}
		for _, value := range valuesOf(d) {
			p.Schema.Enum = append(p.Schema.Enum, value)
		}
		all = append(all, p)
	}
	return all
}

// groupParameter documents what a report may be grouped by.
func groupParameter(leftOut string, groups []string) *huma.Param {
	return &huma.Param{
		Name: "group_by", In: "query", Schema: &huma.Schema{Type: huma.TypeString},
		Description: "Names separated by commas; " + leftOut + " if left out: " + strings.Join(groups, ", ") + ".",
	}
}

// given are the filters of a request, by dimension; those not given are left out.
func (f *DimensionFilters) given(ps *parameters, by []readmodels.Dimension) map[string]string {
	all := map[string]string{}
	for _, d := range by {
		value := f.query.Get(d.Name)
		switch few := valuesOf(d); {
		case value == "":
			continue
		case few != nil:
			value = ps.one(d.Name, value, few...)
		case slices.Contains([]string{"channel", "scenario"}, d.Name):
			value = ps.name(d.Name, value)
		default:
			value = ps.text(d.Name, value)
		}
		all[d.Name] = value
	}
	return all
}

// where is the filters as sums take them, with more.
func (f *DimensionFilters) where(ps *parameters, by []readmodels.Dimension, more map[string]string) map[string][]string {
	where := map[string][]string{}
	for _, given := range []map[string]string{f.given(ps, by), more} {
		for d, value := range given {
			if value != "" {
				where[d] = []string{value}
			}
		}
	}
	return where
}
