package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"recapito/commands/commandstest"
	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"

	"github.com/google/go-cmp/cmp"
)

// secret stands in every bad value: no refusal may repeat it.
const secret = "Zq7xSecret"

func TestBadRequests(t *testing.T) {
	long := strings.Repeat(secret, 40)
	tests := []struct {
		name string
		key  string
		do   func(*intake.Request)
		want []string // field: code
	}{
		{"no scenario", "", func(r *intake.Request) { r.Scenario = "" }, []string{"scenario: missing_field"}},
		{"unknown scenario", "", func(r *intake.Request) { r.Scenario = secret }, []string{"scenario: unknown_scenario"}},
		{"no address", "", func(r *intake.Request) { r.To = nil }, []string{"to: missing_field"}},
		{"a channel without addresses", "", func(r *intake.Request) { r.To = map[string][]string{"sms": nil} }, []string{"to.sms: invalid_value"}},
		{"unknown channel", "", func(r *intake.Request) { r.To = map[string][]string{secret: {commandstest.Number}} }, []string{"to: unknown_channel"}},
		{"too many addresses", "", func(r *intake.Request) {
			r.To["sms"] = nil
			for i := range intake.MaxAddressesPerChannel + 1 {
				r.To["sms"] = append(r.To["sms"], fmt.Sprintf("+3933312345%02d", i))
			}
		}, []string{"to.sms: invalid_value"}},
		{"bad numbers", "", func(r *intake.Request) {
			r.To["sms"] = []string{commandstest.Number, secret, "3331234567", "+39333" + secret, "+0393331234567", "00393331234567", "", "+1234567", "+39 333 1234567", "+3933312345678901"}
		}, []string{
			"to.sms[1]: invalid_address", "to.sms[2]: invalid_address", "to.sms[3]: invalid_address", "to.sms[4]: invalid_address",
			"to.sms[5]: invalid_address", "to.sms[6]: invalid_address", "to.sms[7]: invalid_address", "to.sms[8]: invalid_address", "to.sms[9]: invalid_address",
		}},
		{"numbers that a library would repair", "", func(r *intake.Request) {
			r.To["sms"] = []string{commandstest.Number, "+4901701234567", "+3933312345678", "+112025550123", "+3903331234567"}
		}, []string{"to.sms[1]: invalid_address", "to.sms[2]: invalid_address", "to.sms[3]: invalid_address", "to.sms[4]: invalid_address"}},
		{"missing field", "", func(r *intake.Request) { delete(r.Fields, "day") }, []string{"fields.day: missing_field"}},
		{"mistyped field", "", func(r *intake.Request) { r.Fields["day"] = secret }, []string{"fields.day: "}},
		{"mistyped number", "", func(r *intake.Request) { r.Fields["count"] = secret }, []string{"fields.count: "}},
		{"unknown field", "", func(r *intake.Request) { r.Fields["colour"] = secret }, []string{"fields.colour: unknown_field"}},
		{"priority", "", func(r *intake.Request) { r.Priority = secret }, []string{"priority: invalid_value"}},
		{"recipient", "", func(r *intake.Request) { r.Recipient = long }, []string{"recipient: too_long"}},
		{"a recipient with a NUL", "", func(r *intake.Request) { r.Recipient = "a\x00b" }, []string{"recipient: invalid_value"}},
		{"a blank recipient", "", func(r *intake.Request) { r.Recipient = " " }, []string{"recipient: invalid_value"}},
		{"a hidden number", "", func(r *intake.Request) { r.Reference = "+39%20333%201234567" }, []string{"reference: personal_data"}},
		{"a hidden mailbox", "", func(r *intake.Request) { r.Reference = "mario.rossi﹫example.org" }, []string{"reference: personal_data"}},
		{"campaign is a number", "", func(r *intake.Request) { r.Campaign = commandstest.Number }, []string{"campaign: personal_data", "campaign: invalid_value"}},
		{"campaign is a mail address", "", func(r *intake.Request) { r.Campaign = secret + "@example.org" }, []string{"campaign: personal_data", "campaign: invalid_value"}},
		{"campaign with blanks", "", func(r *intake.Request) { r.Campaign = "spring sale" }, []string{"campaign: invalid_value"}},
		{"campaign too long", "", func(r *intake.Request) { r.Campaign = long }, []string{"campaign: too_long"}},
		{"reference too long", "", func(r *intake.Request) { r.Reference = long }, []string{"reference: too_long"}},
		{"reference with control characters", "", func(r *intake.Request) { r.Reference = "a\n" + secret }, []string{"reference: invalid_value"}},
		{"reference is a number", "", func(r *intake.Request) { r.Reference = commandstest.Number }, []string{"reference: personal_data"}},
		{"reference is a commandstest.Number with 00", "", func(r *intake.Request) { r.Reference = "00393331234567" }, []string{"reference: personal_data"}},
		{"reference is a commandstest.Number with blanks", "", func(r *intake.Request) { r.Reference = " +39 333 123 4567" }, []string{"reference: personal_data"}},
		{"reference is a national number", "", func(r *intake.Request) { r.Reference = "3331234567" }, []string{"reference: personal_data"}},
		{"reference is a national commandstest.Number in groups", "", func(r *intake.Request) { r.Reference = "333-1234567" }, []string{"reference: personal_data"}},
		{"reference holds a number", "", func(r *intake.Request) { r.Reference = "appt-" + commandstest.Number }, []string{"reference: personal_data"}},
		{"reference is a tel URI", "", func(r *intake.Request) { r.Reference = "tel:" + commandstest.Number }, []string{"reference: personal_data"}},
		{"reference is a commandstest.Number without +", "", func(r *intake.Request) { r.Reference = commandstest.Number[1:] }, []string{"reference: personal_data"}},
		{"reference holds a mail address", "", func(r *intake.Request) { r.Reference = "mailto:" + secret + "@example.org?subject=a" }, []string{"reference: personal_data"}},
		{"reference is the request's own number", "", func(r *intake.Request) {
			r.To["sms"], r.Reference = []string{"+447400123456"}, "visit 7400 12-34-56"
		}, []string{"reference: personal_data"}},
		{"key is the request's own number", "7400.123456", func(r *intake.Request) { r.To["sms"] = []string{"+447400123456"} }, []string{"Idempotency-Key: personal_data"}},
		{"reference is a mail address", "", func(r *intake.Request) { r.Reference = secret + "@example.org" }, []string{"reference: personal_data"}},
		{"key is a number", commandstest.Number, func(*intake.Request) {}, []string{"Idempotency-Key: personal_data"}},
		{"key is too long", long, func(*intake.Request) {}, []string{"Idempotency-Key: too_long"}},
		{"too far ahead", "", func(r *intake.Request) { r.SendAt = time.Now().Add(intake.MaxSendAhead + time.Hour) }, []string{"send_at: invalid_value"}},
		{"expired", "", func(r *intake.Request) { r.ExpiresAt = time.Now().Add(-time.Second) }, []string{"expires_at: invalid_value"}},
		{"expires before it is sent", "", func(r *intake.Request) {
			r.SendAt, r.ExpiresAt = time.Now().Add(2*time.Hour), time.Now().Add(time.Hour)
		}, []string{"expires_at: invalid_value"}},
		{"expires too far ahead", "", func(r *intake.Request) { r.ExpiresAt = time.Now().Add(3 * intake.MaxSendAhead) }, []string{"expires_at: invalid_value"}},
		{"everything", commandstest.Number, func(r *intake.Request) {
			r.Scenario, r.To, r.Priority, r.Reference = secret, map[string][]string{"sms": {secret}}, secret, commandstest.Number
		}, []string{"scenario: unknown_scenario", "to.sms[0]: invalid_address", "priority: invalid_value", "reference: personal_data", "Idempotency-Key: personal_data"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := commandstest.New(t)
			r := commandstest.Appointment()
			test.do(&r)
			_, err := b.N.Submit(t.Context(), commandstest.Origin, test.key, r)
			var invalid *strictjson.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v, want *strictjson.Invalid", err)
			}
			var got []string
			for i, p := range invalid.Problems {
				said := p.Field + ": " + p.Code
				if i < len(test.want) && strings.HasSuffix(test.want[i], ": ") { // any code
					said = p.Field + ": "
				}
				got = append(got, said)
				if p.Message == "" || p.Code == "" {
					t.Errorf("%s says nothing: %+v", p.Field, p)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("other problems (-want +got):\n%s", diff)
			}
			for _, value := range []string{secret, commandstest.Number, "333123", "3933312345"} {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", err, invalid.Problems, invalid.Problems), value) {
					t.Error("the refusal repeats a value")
				}
			}
			if n := len(b.Store.All()); n > 0 || b.Persons.Claims > 0 {
				t.Errorf("refused, and yet %d events were appended, %d persons claimed", n, b.Persons.Claims)
			}
		})
	}
}

func TestGoodReferences(t *testing.T) {
	for _, reference := range []string{"", "order-881", "881", "2026-11-23", "a b c", "Straße 7", "+", "@home", "0039", "INV-2026-0012345", "550e8400-e29b-41d4-a716-446655440000", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "4500123456"} {
		b := commandstest.New(t)
		r := commandstest.Appointment()
		r.Reference = reference
		if _, err := b.N.Submit(t.Context(), commandstest.Origin, "key-"+fmt.Sprint(len(reference)), r); err != nil {
			t.Errorf("reference of %d characters: %v", len(reference), err)
		}
	}
}

// FuzzRequest: whatever a request holds, it is accepted or refused by rules that do not
// repeat it.
func FuzzRequest(f *testing.F) {
	f.Add("order-1", "normal", "+393331234567", "2026-12-01", "Ada", "cust-42")
	f.Add("", "", "", "", "", "")
	f.Add("+39 333", "high\x00", "+00000000", "2026-02-30", "\xff\xfe", "a@b.c")
	f.Fuzz(func(t *testing.T, reference, priority, to, day, name, recipient string) {
		b := commandstest.New(t)
		r := intake.Request{
			Scenario: "appointment", To: map[string][]string{"sms": {to}}, Recipient: recipient,
			Fields: map[string]any{"day": day, "name": name}, Priority: priority, Reference: reference,
		}
		_, err := b.N.Submit(t.Context(), commandstest.Origin, "", r)
		var invalid *strictjson.Invalid
		if err != nil && !errors.As(err, &invalid) {
			t.Fatalf("neither accepted nor refused by a rule: %v", err)
		}
		for _, value := range []string{reference, priority, to, name, recipient} {
			const telling = 8
			if err != nil && len(value) >= telling && strings.Contains(err.Error(), value) {
				t.Error("the refusal repeats a value")
			}
		}
	})
}
