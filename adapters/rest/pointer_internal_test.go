package rest

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestPointer holds the examples of RFC 6901, section 5.
func TestPointer(t *testing.T) {
	const document = `{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"null":null,"t":true}`
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	var d any
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"/foo/0": "bar", "/": "0", "/a~1b": "1", "/c%d": "2", "/e^f": "3", "/g|h": "4", "/i\\j": "5", "/k\"l": "6", "/ ": "7", "/m~0n": "8",
		"/null": "", "/t": "true", "/absent": "", "/foo/2": "", "/foo/01": "", "/foo/-": "", "/foo/-1": "", "/t/x": "",
	} {
		p, err := parsePointer(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := p.text(d); !ok || got != want {
			t.Errorf("%s: %q, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "/foo"} {
		if _, ok := mustPointer(text).text(d); ok {
			t.Errorf("%q is a text", text)
		}
	}
	for _, text := range []string{"foo", "/~", "/~2", "/a~", strings.Repeat("/a", 17), "/" + strings.Repeat("a", 500)} {
		if _, err := parsePointer(text); err == nil {
			t.Errorf("%q is a pointer", text)
		}
	}
}

func FuzzPointer(f *testing.F) {
	f.Add("/a~1b/0/~0", `{"a/b":[{"~":1}]}`)
	f.Add("//", `{"":{"":[]}}`)
	f.Fuzz(func(t *testing.T, text, document string) {
		p, err := parsePointer(text)
		if err != nil {
			return
		}
		var d any
		if json.Unmarshal([]byte(document), &d) != nil {
			return
		}
		value, found := p.find(d)
		if !found {
			return
		}
		// The value is part of the document.
		inner, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		outer, _ := json.Marshal(d)
		if !strings.Contains(string(outer), string(inner)) {
			t.Errorf("%q found %s", text, inner)
		}
	})
}
