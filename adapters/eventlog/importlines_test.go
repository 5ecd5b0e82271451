package eventlog

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"recapito/domain/event"
)

func TestImportLines(t *testing.T) {
	const id = "f78f41f1-a671-4096-adee-e0c8670fd1ef"
	const text = `{"stream":"a","revision":0,"position":167,"id":"` + id + `","type":"T","data":{"x" : 1800},"metadata":{"$m":[1, 2]},"created":"2020-01-12T18:14:13.990951007Z"}
{"stream":"a","id":"` + id + `","type":"T","data_base64":"AAE=","content_type":"application/octet-stream"}
{"stream":"b","revision":7,"id":"` + id + `","type":"T","data_base64":"e30=","metadata_base64":"Ag==","content_type":"application/json","created":"2020-01-12T19:14:13+01:00"}`
	want := []Imported{
		{Line: 1, AtRevision: true, Recorded: event.Recorded{
			Stream: "a", Position: 167, ID: id, Type: "T", Data: []byte(`{"x" : 1800}`), Metadata: []byte(`{"$m":[1, 2]}`),
			Created: time.Date(2020, 1, 12, 18, 14, 13, 990951007, time.UTC),
		}},
		{Line: 2, Recorded: event.Recorded{Stream: "a", ID: id, Type: "T", Data: []byte{0, 1}, Binary: true}},
		{Line: 3, AtRevision: true, Recorded: event.Recorded{
			Stream: "b", Revision: 7, ID: id, Type: "T", Data: []byte("{}"), Metadata: []byte{2}, Created: time.Date(2020, 1, 12, 18, 14, 13, 0, time.UTC),
		}},
	}
	next := ImportLines(strings.NewReader(text))
	for _, w := range want {
		got, err := next()
		if diff := cmp.Diff(w, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if _, err := next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestImportLinesRefusals(t *testing.T) {
	for line, want := range map[string]string{
		``:                             "not a complete JSON object",
		`{`:                            "not a complete JSON object",
		`{"stream":}`:                  "is not JSON at byte",
		`[]`:                           "must be a JSON object",
		`{"secret":1}`:                 "and no others",
		`{"stream":1}`:                 "stream: must be a string",
		`{"position":-1}`:              "position: must be a uint64",
		`{"position":0}`:               "position: must be at least 1",
		`{"data":1,"data_base64":""}`:  "only one of them",
		`{"created":"secret"}`:         "created: must be a time",
		`{"content_type":"text/secr"}`: "content_type: must be application/json or",
		`{"data":{},"content_type":"application/octet-stream"}`: "content_type: application/octet-stream needs data_base64",
		`{} {}`:                      "one JSON object and nothing else",
		`{"data_base64":"§§secret"}`: "members that",
	} {
		_, err := ImportLines(strings.NewReader(line + "\n"))()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line 1: ") || strings.Contains(err.Error(), "secr") {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	_, err := ImportLines(strings.NewReader(strings.Repeat("x", maxImportLine+1)))()
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long line: %v", err)
	}
}

// FuzzImportLines: whatever a source holds, an import ends, and what it wrote can be read.
func FuzzImportLines(f *testing.F) {
	f.Add(`{"stream":"a","revision":0,"position":167,"id":"f78f41f1-a671-4096-adee-e0c8670fd1ef","type":"T","data":{},"created":"2020-01-12T18:14:13.99Z"}`)
	f.Add("{}\n{\"stream\":\"a\"}")
	f.Fuzz(func(t *testing.T, text string) {
		log := openOn(t, vfs.NewMem())
		report, err := log.Import(t.Context(), ImportLines(strings.NewReader(text)))
		if n := len(allOf(t, log)); uint64(n) != report.Written {
			t.Errorf("%d events, reported %+v, %v", n, report, err)
		}
	})
}
