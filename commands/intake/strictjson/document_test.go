package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"recapito/commands/intake/strictjson"
)

const (
	badDocument = "not a document"
	duplicate   = "a member twice"
)

// refusal is which of the two an error of Check is; empty if it is nil.
func refusal(err error) string {
	var refused *strictjson.DocumentError
	switch {
	case !errors.As(err, &refused):
		return ""
	case refused.Duplicate:
		return duplicate
	}
	return badDocument
}

func TestStrictJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "", ` [1, "a\"b", {"a":{"a":[{"a":1}]}}] `: "", `{"a":1,"b":{"a":1}}`: "", `"\ud83d\ude00"`: "", `"\\ud800"`: "",
		`{"a":",","b":"{\"a\":1}"}`: "", `[{"a":1},{"a":1}]`: "", `{"a":["a","a"],"b":1}`: "",
		``: badDocument, `{`: badDocument, `{"a":1,}`: badDocument, `{} {}`: badDocument, "\xef\xbb\xbf{}": badDocument, `{'a':1}`: badDocument,
		`"\ud800"`: badDocument, `"\ud800x"`: badDocument, `"\ud800\u0041"`: badDocument, `"\ude00"`: badDocument, `{"\udc00":1}`: badDocument,
		"\"\xff\"": badDocument, `NaN`: badDocument, `01`: badDocument,
		`{"a":1,"a":1}`: duplicate, `{"a":1,"\u0061":1}`: duplicate, `[{"b":{"a":[],"a":1}}]`: duplicate,
		`{"a":{},"b":[],"a":1}`: duplicate, `{"":1,"":2}`: duplicate, `{"a\/b":1,"a/b":2}`: duplicate,
	} {
		got := refusal(strictjson.Check([]byte(text)))
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
		found := refusal(strictjson.Check(data))
		if found == badDocument {
			return // stricter than encoding/json on purpose
		}
		if !json.Valid(data) {
			t.Fatal("what is not JSON was not refused as such")
		}
		if twice := readsTwice(t, data); twice != (found != "") {
			t.Fatalf("a member twice: %v; refused: %v", twice, found != "")
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
