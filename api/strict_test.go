package api

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestStrictJSON(t *testing.T) {
	for text, want := range map[string]Code{
		`{}`: "", ` [1, "a\"b", {"a":{"a":[{"a":1}]}}] `: "", `{"a":1,"b":{"a":1}}`: "", `"\ud83d\ude00"`: "", `"\\ud800"`: "",
		`{"a":",","b":"{\"a\":1}"}`: "", `[{"a":1},{"a":1}]`: "", `{"a":["a","a"],"b":1}`: "",
		``: CodeBadJSON, `{`: CodeBadJSON, `{"a":1,}`: CodeBadJSON, `{} {}`: CodeBadJSON, "\xef\xbb\xbf{}": CodeBadJSON, `{'a':1}`: CodeBadJSON,
		`"\ud800"`: CodeBadJSON, `"\ud800x"`: CodeBadJSON, `"\ud800\u0041"`: CodeBadJSON, `"\ude00"`: CodeBadJSON, `{"\udc00":1}`: CodeBadJSON,
		"\"\xff\"": CodeBadJSON, `NaN`: CodeBadJSON, `01`: CodeBadJSON,
		`{"a":1,"a":1}`: CodeDuplicateMember, `{"a":1,"\u0061":1}`: CodeDuplicateMember, `[{"b":{"a":[],"a":1}}]`: CodeDuplicateMember,
		`{"a":{},"b":[],"a":1}`: CodeDuplicateMember, `{"":1,"":2}`: CodeDuplicateMember, `{"a\/b":1,"a/b":2}`: CodeDuplicateMember,
	} {
		got := Code("")
		if p := checkJSON([]byte(text)); p != nil {
			got = p.Code
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzDuplicateMembers compares with a reader of tokens: what passes is valid and has no
// member twice; what is refused as duplicate is valid and has one.
func FuzzDuplicateMembers(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":2}`, `{"a":{"b":1},"b":[{"a":1},{"a":1}]}`, `{"a":1,"\u0061":2}`, `["\ud83d\ude00","\ud800"]`, `{"a":"\"","b":"\\"}`,
		`{"scenario":"x","to":{"sms":["+1"]},"fields":{"day":null}}`, "{\"\xff\":1}", `{"a":[[],{}],"a":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := checkJSON(data)
		if p != nil && p.Code == CodeBadJSON {
			return // stricter than encoding/json on purpose
		}
		if !json.Valid(data) {
			t.Fatal("what is not JSON was not refused as such")
		}
		if twice := readsTwice(t, data); twice != (p != nil) {
			t.Fatalf("a member twice: %v; refused: %v", twice, p != nil)
		}
	})
}

func readsTwice(t *testing.T, data []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value func() bool
	value = func() bool {
		token, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		opened, ok := token.(json.Delim)
		if !ok {
			return false
		}
		twice, seen := false, map[string]bool{}
		for decoder.More() {
			if opened == '{' {
				name, err := decoder.Token()
				if err != nil {
					t.Fatal(err)
				}
				twice = twice || seen[name.(string)]
				seen[name.(string)] = true
			}
			twice = value() || twice
		}
		if _, err := decoder.Token(); err != nil {
			t.Fatal(err)
		}
		return twice
	}
	return value()
}

// FuzzRequest: whatever a body holds, it is read or refused, and the problems name
// places and rules only.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"scenario":"a","to":{"sms":["+391"]},"fields":{"day":1},"send_at":"2026-01-01T00:00:00Z","test":true}`))
	f.Add([]byte(`{"to":{"sms":[1]},"Fields":[],"x y":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, p := body(data)
		if p != nil {
			return
		}
		o.request()
		if p := o.problem(); p != nil {
			for _, e := range p.Errors {
				if e.Field == "" || e.Message == "" {
					t.Fatal("a problem without place or rule")
				}
			}
		}
	})
}
