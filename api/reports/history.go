package reports

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/api"
	"recapito/api/reports/export"
	"recapito/commands"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/domain/notification"
	"recapito/domain/scenario"
	"recapito/readmodels"
)

// historyRequest documents whose history is asked for: exactly one of the first five.
type historyRequest struct {
	Destination  *destinationBody `json:"destination,omitempty" doc:"A person, by an address."`
	Person       string           `json:"person,omitempty" doc:"Of a destination that names several persons: which of them, by the id that the problem several_persons lists."`
	Recipient    string           `json:"recipient,omitempty" doc:"A person, by your id of it." maxLength:"128"`
	Notification string           `json:"notification,omitempty" doc:"One notification: its events too."`
	Campaign     string           `json:"campaign,omitempty"`
	Scenario     string           `json:"scenario,omitempty"`
	From         time.Time        `json:"from,omitempty" doc:"Attempts due from then on."`
	To           time.Time        `json:"to,omitempty" doc:"Attempts due before then."`
	Cursor       string           `json:"cursor,omitempty" doc:"The page before's next, with the same body."`
	Limit        int              `json:"limit,omitempty" minimum:"1" maximum:"1000" default:"100"`
}

type destinationBody struct {
	Kind    string `json:"kind,omitempty" example:"phone" doc:"What the address is: phone, email, device, user or issi; or a channel, for the kind of its addresses."`
	Channel string `json:"channel,omitempty" example:"sms" doc:"A channel, for the kind of its addresses."`
	Address string `json:"address" doc:"Used to find the person, and not kept."`
}

func personView(l commands.PersonLink) api.NamedPerson {
	p := api.NamedPerson{Person: l.PersonID, Link: "held", Named: l.Kind == commands.LinkHeld, From: time.Unix(l.From, 0).UTC()}
	if l.Kind == commands.LinkMentioned {
		p.Link = "mentioned"
	}
	if l.To != 0 {
		to := time.Unix(l.To, 0).UTC()
		p.To = &to
	}
	return p
}

type historyReport struct {
	Rows []readmodels.EDR `json:"rows" doc:"One an attempt, newest day first."`
	Next string           `json:"next,omitempty" doc:"There are more: ask again with cursor set to this."`
	// The notifications that rows are of.
	Notifications []readmodels.Notification `json:"notifications,omitempty" doc:"Those that the rows are of, as they are, or were."`
	Unattempted   []readmodels.Notification `json:"unattempted,omitempty" doc:"Of a person, on its first page: those of which nothing was scheduled, such as rejected and suppressed ones. At most 1,000; files do not have them."`
	State         *api.NotificationBody     `json:"state,omitempty" doc:"Of one notification, without as_of: as it is now."`
	Events        []api.HistoryEvent        `json:"events,omitempty" doc:"Of one notification, on its first page: what happened, or what was known of it."`
}

func (s *service) history() {
	registerReport(s, huma.Operation{
		OperationID: "report-history", Method: http.MethodPost, Path: "/v1/reports/history",
		Summary: "Delivery history of a person, a notification, a campaign or a scenario",
		Description: "Asked for by a body, so that no address stands in a URL. Somebody who is not known, or was erased, has an empty history. " +
			"A destination that names several persons is a 409 that lists them (code several_persons): ask again with person. " +
			"The call stands in the ledger's record before it is answered.",
		Metadata: api.RecordedFirst,
		Errors:   []int{http.StatusNotFound, http.StatusConflict},
	}, &api.Body{Schema: reflect.TypeFor[historyRequest](), Limit: api.MaxBodyBytes}, historyReport{}, s.reportHistory)
}

// subject is whose history is asked for.
type subject struct {
	kind   string // destination, recipient, notification, campaign, scenario
	id     string // of all but a destination and a recipient
	whose  intake.Whose
	person string // of a destination: the one that is meant
}

var subjects = []string{"destination", "recipient", "notification", "campaign", "scenario"}

func (s *service) reportHistory(ctx context.Context, in *ReportParameters, data []byte) (*asked, error) {
	o, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	ps := parameters{}
	format := in.format(&ps)
	q := readmodels.EDRQuery{Tenant: api.CallOf(ctx).Tenant}
	of := readSubject(o, &q)
	ps.addAll(o.Problems())
	cut, err := s.asOf(ctx, &ps, in.AsOf)
	if problem := ps.problem(); problem != nil {
		return nil, problem
	}
	if err != nil {
		return nil, err
	}
	q.AsOf = seqOf(cut)
	known, err := s.narrowTo(ctx, of, &q)
	if err != nil {
		return nil, err
	}
	a := s.attempts(q, func(ctx context.Context, p readmodels.EDRPage) (any, error) {
		report := historyReport{Rows: p.Rows, Next: p.Next}
		ids := notificationsOf(p.Rows)
		if of.kind == "notification" && len(ids) == 0 { // it may not have come to an attempt
			ids = []string{of.id}
		}
		known, err := s.Reports.Notifications(ctx, q.Tenant, ids, q.AsOf)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if n, ok := known[id]; ok {
				report.Notifications = append(report.Notifications, n)
			}
		}
		if person := q.Is["person"]; person != "" && q.Cursor == "" {
			report.Unattempted, err = s.Reports.Unattempted(ctx, q.Tenant, person, q.From, q.To, q.AsOf)
		}
		if of.kind == "notification" && q.Cursor == "" {
			err = s.timeline(ctx, of.id, q.AsOf, &report)
		}
		return report, err
	})
	s.withStates(a, q)
	if !known {
		a.page = func(context.Context) (any, error) { return historyReport{Rows: []readmodels.EDR{}}, nil }
		a.each = func(context.Context, func([]any) error) error { return nil }
	}
	a.manifest = export.Manifest{Report: "history", Query: queryOf(q), Cut: cut, AsOf: ps.asOf(in.AsOf)}
	a.manifest.Query["of"] = of.kind
	a.format, a.after = format, in.After
	a.reads = []string{readmodels.EDRTable.Projection, readmodels.NotificationsTable.Projection}
	return a, nil
}

// notificationsOf are the ids that rows are of, each once, in their order.
func notificationsOf(rows []readmodels.EDR) []string {
	var ids []string
	seen := map[string]bool{}
	for _, r := range rows {
		if !seen[r.Notification] {
			seen[r.Notification] = true
			ids = append(ids, r.Notification)
		}
	}
	return ids
}

// statesAtOnce is how many rows of a file wait for the states of their notifications.
const statesAtOnce = 500

// withStates gives a file of attempts the states and custom fields of their notifications.
func (s *service) withStates(a *asked, q readmodels.EDRQuery) {
	a.columns = append(a.columns, readmodels.Column{Name: "notification_state", Kind: readmodels.Text}, readmodels.Column{Name: "notification_final", Kind: readmodels.Truth}, readmodels.Column{Name: "notification_fields", Kind: readmodels.Object})
	a.each = func(ctx context.Context, row func([]any) error) error {
		var held []readmodels.EDR
		var values []any
		write := func() error {
			known, err := s.Reports.Notifications(ctx, q.Tenant, notificationsOf(held), q.AsOf)
			if err != nil {
				return err
			}
			for _, r := range held {
				values = readmodels.ValuesOf(values[:0], r)
				if n, ok := known[r.Notification]; ok {
					values = append(values, n.State, n.Final, fieldsOf(n))
				} else {
					values = append(values, nil, nil, nil)
				}
				if err := row(values); err != nil {
					return err
				}
			}
			held = held[:0]
			return nil
		}
		err := s.Reports.EachEDR(ctx, q, func(r readmodels.EDR) error {
			if held = append(held, r); len(held) < statesAtOnce {
				return nil
			}
			return write()
		})
		if err != nil {
			return err
		}
		return write()
	}
}

// fieldsOf are a notification's custom fields that are not personal, as a column.
func fieldsOf(n readmodels.Notification) string {
	if len(n.Fields) == 0 {
		return "{}"
	}
	text, err := json.Marshal(n.Fields)
	if err != nil {
		panic("api: texts do not marshal: " + err.Error())
	}
	return string(text)
}

// narrowTo makes q ask for a subject; known is whether there can be any row.
func (s *service) narrowTo(ctx context.Context, of subject, q *readmodels.EDRQuery) (known bool, err error) {
	c := api.CallOf(ctx)
	q.Is = map[string]string{}
	switch of.kind {
	case "destination", "recipient":
		if s.Persons == nil {
			return false, commands.ErrKeysUnavailable
		}
		persons, err := s.Persons.Persons(ctx, q.Tenant, of.whose)
		if err != nil {
			return false, err
		}
		person, err := oneOf(persons, of.person)
		if err != nil || person == "" {
			return false, err
		}
		c.Target = person
		q.Is["person"] = person
	case "notification":
		c.Notification = of.id
		q.Is["notification"] = of.id
	default:
		q.Is[of.kind] = of.id
	}
	return true, nil
}

// oneOf returns the person that is meant among those that an address names; empty if it
// names none.
func oneOf(persons []commands.PersonLink, meant string) (string, error) {
	switch {
	case len(persons) == 0:
		return "", nil
	case meant == "" && len(persons) == 1:
		return persons[0].PersonID, nil
	case meant == "":
		p := api.NewProblem(api.CodeSeveralPersons, "")
		for _, l := range persons {
			p.Persons = append(p.Persons, personView(l))
		}
		return "", p
	}
	for _, l := range persons {
		if l.PersonID == meant {
			return meant, nil
		}
	}
	return "", api.Invalid("person", strictjson.InvalidValue, "must be one of the persons that the destination names")
}

// timeline adds a notification's state and events to a report; nothing of one that is not
// there, or another tenant's. As of a cut it adds the events that there were, and the
// state stands among the notifications.
func (s *service) timeline(ctx context.Context, id string, cut *uint64, report *historyReport) error {
	tenant := api.CallOf(ctx).Tenant
	entries, err := s.Notifications.History(ctx, tenant, id, 0, api.MaxPage)
	if errors.Is(err, notification.ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	if cut != nil {
		n, err := s.Reports.EventsBefore(ctx, tenant, id, *cut)
		if err != nil {
			return err
		}
		for _, h := range entries[:min(n, len(entries))] {
			e := api.HistoryEventOf(h)
			e.Position = 0 // of this store only, and the answer is that of every copy
			report.Events = append(report.Events, e)
		}
		return nil
	}
	l, err := s.Notifications.Get(ctx, tenant, id)
	if err != nil {
		return err
	}
	state := api.NotificationOf(id, l, api.FailureCodes(entries, l.Revision))
	report.State = &state
	for _, h := range entries {
		report.Events = append(report.Events, api.HistoryEventOf(h))
	}
	return nil
}

// readSubject reads the body.
func readSubject(o strictjson.Object, q *readmodels.EDRQuery) (of subject) {
	o.Only(append([]string{"person", "from", "to", "cursor", "limit"}, subjects...)...)
	given := 0
	for _, kind := range subjects {
		if !o.Has(kind) {
			continue
		}
		given++
		of = subject{kind: kind}
		if kind == "destination" {
			d := o.Within(kind)
			d.Only("kind", "channel", "address")
			channel := d.Text("channel")
			of.whose = intake.Whose{Kind: d.Text("kind"), Address: d.Text("address")}
			if (of.whose.Kind == "") == (channel == "") || of.whose.Address == "" {
				o.Report(kind, strictjson.MissingField, "needs an address and one of kind and channel")
			}
			of.whose.Kind += channel
			continue
		}
		of.id = o.Text(kind)
		if kind == "recipient" {
			of.whose = intake.Whose{Recipient: of.id}
		}
	}
	if of.person = o.Text("person"); of.person != "" && of.kind != "destination" {
		o.Report("person", strictjson.InvalidValue, "goes with a destination")
	}
	switch {
	case given != 1:
		o.Report("body", strictjson.InvalidValue, "must name one of destination, recipient, notification, campaign and scenario")
	case of.kind == "destination" || len(o.Problems()) > 0:
	case of.id == "":
		o.Report(of.kind, strictjson.MissingField, "must not be empty")
	case of.kind == "notification" && !api.ValidID(of.id):
		o.Report(of.kind, strictjson.InvalidValue, "must be an id of a notification")
	case of.kind == "campaign" && !scenario.ValidLabel(of.id):
		o.Report(of.kind, strictjson.InvalidValue, "must be a campaign's name: letters, digits and any of . _ -")
	case of.kind == "scenario" && !strictjson.MemberName.MatchString(of.id):
		o.Report(of.kind, strictjson.InvalidValue, "must be a name: lower-case letters, digits, - and _")
	}
	q.From, q.To, q.Cursor = o.Time("from"), o.Time("to"), o.Text("cursor")
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		o.Report("to", strictjson.InvalidValue, "must be after from")
	}
	q.Limit = o.Integer("limit", readmodels.DefaultEDRLimit, readmodels.MaxEDRLimit)
	return of
}
