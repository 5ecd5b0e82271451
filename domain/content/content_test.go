package content_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/content"
)

var update = flag.Bool("update", false, "write the golden documents")

// samples holds one complete document of each kind.
var samples = []struct {
	kind        content.Kind
	members     map[string]string
	attachments []content.Attachment
}{
	{content.SMS, map[string]string{"text": "See you on 1 December."}, nil},
	{content.Email, map[string]string{
		"subject": "Your appointment", "html": "<p>See you &amp; yours</p>", "text": "See you & yours",
		"reply_to": "clinic@example.org", "unsubscribe": "https://example.org/u/1",
	}, []content.Attachment{{Name: "map.txt", MediaType: "text/plain", Data: []byte("turn left")}}},
	{content.REST, map[string]string{"body": `{"day":"2026-12-01"}`, "media_type": "application/json"}, nil},
}

// A document's form is stored: a golden document for each kind and version stays
// readable for ever.
func TestGoldenDocuments(t *testing.T) {
	for _, s := range samples {
		d, err := s.kind.New(s.members, s.attachments)
		if err != nil {
			t.Fatalf("%s: %v", s.kind.Name, err)
		}
		stored, err := content.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "golden", fmt.Sprintf("%s.%d.json", s.kind.Name, s.kind.Version))
		if *update {
			if err := os.WriteFile(file, []byte(stored+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(string(golden)), stored); diff != "" {
			t.Errorf("%s: the stored form has changed; make a new version:\n%s", s.kind.Name, diff)
		}
		read, err := content.Decode(strings.TrimSpace(string(golden)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, read); diff != "" {
			t.Errorf("%s: read back:\n%s", s.kind.Name, diff)
		}
	}
	files, err := os.ReadDir(filepath.Join("testdata", "golden"))
	if err != nil || len(files) < len(samples) {
		t.Errorf("%d golden documents for %d kinds: %v", len(files), len(samples), err)
	}
	for _, f := range files { // former versions too
		b, err := os.ReadFile(filepath.Join("testdata", "golden", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.Decode(strings.TrimSpace(string(b))); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

func TestRefusedDocuments(t *testing.T) {
	const secret = "Ada Lovelace"
	for _, c := range []struct {
		name    string
		kind    content.Kind
		members map[string]string
		files   []content.Attachment
		want    string
	}{
		{"missing", content.SMS, nil, nil, "text is required"},
		{"unknown member", content.SMS, map[string]string{"text": secret, "title": secret}, nil, "title is no member of sms"},
		{"two lines", content.Email, map[string]string{"subject": secret + "\n", "text": secret}, nil, "subject must be one line"},
		{"no body", content.Email, map[string]string{"subject": secret}, nil, "text or html is required"},
		{"too long", content.Email, map[string]string{"subject": strings.Repeat("a", content.MaxSubjectBytes+1), "text": secret}, nil, "at most 500"},
		{"not UTF-8", content.SMS, map[string]string{"text": "\xff"}, nil, "must be UTF-8"},
		{"no JSON", content.REST, map[string]string{"body": secret}, nil, "body must be JSON"},
		{"no media type", content.REST, map[string]string{"body": "{}", "media_type": secret}, nil, "media_type must be a media type"},
		{"attachments", content.SMS, map[string]string{"text": secret}, []content.Attachment{{Name: "a", MediaType: "b"}}, "at most 0"},
		{"large attachment", content.Email, map[string]string{"subject": "a", "text": "b"},
			[]content.Attachment{{Name: "a", MediaType: "b", Data: make([]byte, content.MaxAttachmentsBytes+1)}}, "attachments have"},
		{"nameless attachment", content.Email, map[string]string{"subject": "a", "text": "b"}, []content.Attachment{{MediaType: "b"}}, "must have a name"},
	} {
		_, err := c.kind.New(c.members, c.files)
		var rule *content.MemberError
		if !errors.As(err, &rule) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error holds the value", c.name)
		}
	}
}

func TestABodyThatIsNotJSONHasItsMediaType(t *testing.T) {
	for _, mediaType := range []string{"text/plain", "application/xml; charset=utf-8", `text/xml;charset="utf-8"`} {
		if _, err := content.REST.New(map[string]string{"body": "<a>", "media_type": mediaType}, nil); err != nil {
			t.Errorf("%s: %v", mediaType, err)
		}
	}
}

func TestDocumentsArePrintedMasked(t *testing.T) {
	d := content.Document{Type: "sms", Version: 1, Members: map[string]string{"text": "secret"}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, d); strings.Contains(s, "secret") {
			t.Errorf("%s prints %s", format, s)
		}
	}
}

func TestFormatOfABody(t *testing.T) {
	body, _ := content.REST.Member("body")
	for mediaType, want := range map[string]content.Format{
		"": content.JSON, "application/json; charset=utf-8": content.JSON, "application/problem+json": content.JSON,
		"application/x-www-form-urlencoded": content.Form, "text/xml": content.XML, "text/plain": content.Text, "text/html": content.HTML,
	} {
		if got := content.REST.Format(body, map[string]string{"media_type": mediaType}); got != want {
			t.Errorf("%q: %s, want %s", mediaType, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		d, _ := s.kind.New(s.members, s.attachments)
		stored, _ := content.Encode(d)
		f.Add(stored)
	}
	f.Add(`{"type":"sms","version":1,"text":7}`)
	f.Fuzz(func(t *testing.T, stored string) {
		d, err := content.Decode(stored)
		if err != nil {
			return
		}
		again, err := content.Encode(d)
		if err != nil {
			t.Skip() // over the limit
		}
		read, err := content.Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, read); diff != "" {
			t.Errorf("written and read back:\n%s", diff)
		}
	})
}
