package reports

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"recapito/api"
	"recapito/commands/intake/strictjson"
	"recapito/readmodels"
)

// parameters collects what is wrong with the parameters of a query. An empty one was
// not given.
type parameters struct{ wrong []api.FieldProblem }

func (ps *parameters) add(field, code, message string) {
	ps.wrong = append(ps.wrong, api.FieldProblem{Field: field, Code: code, Message: message})
}

func (ps *parameters) problem() *api.Problem {
	if len(ps.wrong) == 0 {
		return nil
	}
	api.SortProblems(ps.wrong)
	return api.NewProblem(api.CodeInvalid, "", ps.wrong...)
}

func (ps *parameters) at(field, value string) time.Time {
	if value == "" {
		return time.Time{}
	}
	t, err := strictjson.ParseTime(value)
	if err != nil {
		ps.add(field, strictjson.WrongType, err.Error())
	}
	return t
}

// asOf is the parameter as_of, checked before.
func (ps *parameters) asOf(value string) *time.Time { return api.Instant(ps.at("as_of", value)) }

func (ps *parameters) period(from, to string) (time.Time, time.Time) {
	before := len(ps.wrong)
	f, t := ps.at("from", from), ps.at("to", to)
	if len(ps.wrong) == before && !f.IsZero() && !t.IsZero() && !f.Before(t) {
		ps.add("to", strictjson.InvalidValue, "must be after from")
	}
	return f, t
}

func (ps *parameters) limit(value string) int {
	n, bad := api.LimitOf(value, readmodels.DefaultEDRLimit, readmodels.MaxEDRLimit)
	if bad != nil {
		ps.wrong = append(ps.wrong, *bad)
	}
	return n
}

func (ps *parameters) name(field, value string) string {
	if value != "" && !strictjson.MemberName.MatchString(value) {
		ps.add(field, strictjson.InvalidValue, "must be a name: lower-case letters, digits, - and _")
	}
	return value
}

var personID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// id is a random id of ours. Another text, such as an address, is none.
func (ps *parameters) id(field, value string) string {
	if value != "" && !personID.MatchString(value) {
		ps.add(field, strictjson.InvalidValue, "must be an id as rows show it")
	}
	return value
}

func (ps *parameters) text(field, value string) string {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
		ps.add(field, strictjson.InvalidValue, "must be UTF-8 without control characters")
	}
	return value
}

func (ps *parameters) one(field, value string, of ...string) string {
	if value != "" && !slices.Contains(of, value) {
		ps.add(field, strictjson.InvalidValue, "must be one of "+strings.Join(of, ", "))
	}
	return value
}

func (ps *parameters) whole(field, value string) *int64 {
	if value == "" {
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		ps.add(field, strictjson.WrongType, "must be an integer")
		return nil
	}
	return &n
}

func (ps *parameters) addAll(problems []strictjson.Problem) {
	for _, p := range problems {
		ps.wrong = append(ps.wrong, api.FieldProblem(p))
	}
}
