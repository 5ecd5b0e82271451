package intake_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
)

// TestEveryMemberIsRead: a member that Request documents and ReadRequest forgets would be
// taken and ignored.
func TestEveryMemberIsRead(t *testing.T) {
	when := time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	want := intake.Request{
		Scenario: "appointment", Recipient: "cust-42", To: map[string][]string{"sms": {"+393331234567"}}, Fields: map[string]any{"day": json.RawMessage(`"Monday"`)},
		Priority: "high", SendAt: when, ExpiresAt: when.Add(time.Hour), Test: true, Campaign: "spring", Reference: "order-881",
	}
	for i, v := 0, reflect.ValueOf(want); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the example leaves out %s", v.Type().Field(i).Name)
		}
	}
	document, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := intake.DecodeRequest(document)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongMembersOfARequest(t *testing.T) {
	for document, want := range map[string]string{
		`{"scenario":1}`:              "scenario: wrong_type",
		`{"Scenario":"a"}`:            "body: unknown_member",
		`{"priorities":"high"}`:       "priorities: unknown_member",
		`{"to":{"sms":"+391"}}`:       "to.sms: wrong_type",
		`{"to":{"sms":["+391",1]}}`:   "to.sms[1]: wrong_type",
		`{"to":{"+391":[]}}`:          "to: unknown_channel",
		`{"fields":[]}`:               "fields: wrong_type",
		`{"send_at":"tomorrow"}`:      "send_at: wrong_type",
		`{"test":"yes","to":{"a":1}}`: "test: wrong_type, to.a: wrong_type",
		`[]`:                          "body: wrong_type",
	} {
		_, err := intake.DecodeRequest([]byte(document))
		var invalid *strictjson.Invalid
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", document, err)
			continue
		}
		var places []string
		for _, p := range invalid.Problems {
			places = append(places, p.Field+": "+p.Code)
		}
		if got := strings.Join(places, ", "); got != want {
			t.Errorf("%s: %s, want %s", document, got, want)
		}
	}
}

// FuzzDecodeRequest: whatever a document holds, it is read or refused, and the problems name
// places and rules only.
func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte(`{"scenario":"a","to":{"sms":["+391"]},"fields":{"day":1},"send_at":"2026-01-01T00:00:00Z","test":true}`))
	f.Add([]byte(`{"to":{"sms":[1]},"Fields":[],"x y":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := intake.DecodeRequest(data)
		var invalid *strictjson.Invalid
		if !errors.As(err, &invalid) {
			return
		}
		if len(invalid.Problems) == 0 {
			t.Fatal("refused for no reason")
		}
		for _, p := range invalid.Problems {
			if p.Field == "" || p.Message == "" {
				t.Fatal("a problem without place or rule")
			}
		}
	})
}
