package api

import (
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
)

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
		// One more than allowed is taken, for the command side to refuse.
		all[channel] = to.Texts(channel, intake.MaxAddressesPerChannel+1)
	}
	return all
}

var requestMembers = []string{"scenario", "recipient", "to", "fields", "priority", "send_at", "expires_at", "test", "campaign", "reference"}

// readRequest reads what docs/architecture.md calls a request.
func readRequest(o strictjson.Object) intake.Request {
	o.Only(requestMembers...)
	r := intake.Request{
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
	return r
}
