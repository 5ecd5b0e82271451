package intake

import (
	"reflect"
	"strings"
	"time"

	"recapito/commands/intake/strictjson"
	"recapito/domain/dimension"
)

// Request is a request as every listener takes it. Its tags are the members of its JSON
// form and their documentation; ReadRequest reads that form.
type Request struct {
	Scenario  string              `json:"scenario" doc:"Which kind of notification; GET /v1/scenarios lists them." example:"appointment"`
	Recipient string              `json:"recipient,omitempty" doc:"Your id of the person." maxLength:"128"`
	To        map[string][]string `json:"to" doc:"Channel → addresses; phone numbers in E.164 form." example:"{\"sms\":[\"+39…\"]}"`
	Fields    map[string]any      `json:"fields,omitempty" doc:"What the scenario's text is made of."`
	Priority  string              `json:"priority,omitempty" enum:"high,normal,low" default:"normal"`
	SendAt    time.Time           `json:"send_at,omitempty" doc:"Not before then; at once if left out."`
	ExpiresAt time.Time           `json:"expires_at,omitempty" doc:"Not from then on."`
	Test      bool                `json:"test,omitempty" doc:"Marks it and everything of it as a test."`
	Campaign  string              `json:"campaign,omitempty" doc:"Of which campaign it is, for reports; stored in clear." pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" maxLength:"64" example:"spring-2026"`
	Reference string              `json:"reference,omitempty" doc:"Yours, stored in clear: no address, no phone number." maxLength:"128"`
}

// dimensions are those that a request gives; the scenario gives the others.
func (r *Request) dimensions() dimension.OfNotification {
	return dimension.OfNotification{Scenario: r.Scenario, Campaign: r.Campaign, Priority: r.Priority, Test: r.Test}
}

// labels are the members that are labels, by name: for reports, and in clear.
func (r *Request) labels() map[string]string { return map[string]string{"campaign": r.Campaign} }

// requestMembers are the names that Request's tags give.
var requestMembers = membersOf(reflect.TypeFor[Request]())

func membersOf(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// DecodeRequest reads a request from its JSON document. Errors: *strictjson.DocumentError,
// *strictjson.Invalid.
func DecodeRequest(document []byte) (Request, error) {
	o, err := strictjson.Parse(document)
	if err != nil {
		return Request{}, err
	}
	return ReadRequest(o)
}

// ReadRequest reads a request from an object of a document. The error is a
// *strictjson.Invalid that lists all that is wrong with the object's form.
func ReadRequest(o strictjson.Object) (Request, error) {
	o.Only(requestMembers...)
	r := Request{
		Scenario: o.Text("scenario"), Recipient: o.Text("recipient"), To: readAddresses(o, "to"),
		Priority: o.Text("priority"), SendAt: o.Time("send_at"), ExpiresAt: o.Time("expires_at"),
		Test: o.Bool("test"), Campaign: o.Text("campaign"), Reference: o.Text("reference"),
	}
	if fields := o.Within("fields"); len(fields.Names()) > 0 {
		r.Fields = make(map[string]any, len(fields.Names()))
		for _, name := range fields.Names() {
			r.Fields[name] = fields.Raw(name)
		}
	}
	return r, o.Err()
}

// readAddresses reads `{"sms": ["+39…"]}`.
func readAddresses(o strictjson.Object, name string) map[string][]string {
	to := o.Within(name)
	if len(to.Names()) == 0 {
		return nil
	}
	all := map[string][]string{}
	for _, channel := range to.Names() {
		if !strictjson.MemberName.MatchString(channel) {
			o.Report(to.Place(), unknownChannel, "names a channel that has no route")
			continue
		}
		// One more than allowed is taken, for the check to refuse.
		all[channel] = to.Texts(channel, MaxAddressesPerChannel+1)
	}
	return all
}
