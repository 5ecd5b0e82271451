package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"recapito/api"
)

var update = flag.Bool("update", false, "write docs/errors.md from the list of codes")

const errorsFile = "../docs/errors.md"

// errorsDocument is docs/errors.md, from the codes.
func errorsDocument() string {
	var b strings.Builder
	b.WriteString(`# Errors

<!-- Generated from the codes: go test ./api -update -->

Every refusal over HTTP, whatever refused it, is ` + "`application/problem+json`" + ` (RFC 9457) with a stable member ` + "`code`" + `:

` + "```json" + `
{
  "type": "urn:recapito:problem:invalid",
  "title": "the request breaks rules; errors lists each with its place",
  "status": 422,
  "code": "invalid",
  "errors": [
    {"field": "to.sms[0]", "code": "invalid_address", "message": "must be a phone number in E.164 form"}
  ]
}
` + "```" + `

Programs look at ` + "`status`, `code` and `errors[].code`" + `; titles, details and messages are for people and may change.
An answer names the place and the rule and never repeats what was sent. Every answer carries ` + "`X-Request-Id`" + `, under which the
service logs it.

## Codes

| code | status | meaning | what to do |
|---|---|---|---|
`)
	for _, i := range api.Codes() {
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", i.Code, i.Status, i.Title, i.Remedy)
	}
	b.WriteString(`
## Codes of ` + "`errors`" + `

| code | what is wrong with the place named |
|---|---|
`)
	for _, i := range api.FieldCodeInfos() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", i.Code, i.Meaning)
	}
	b.WriteString(`
A place is a member (` + "`fields.day`, `to.sms[0]`" + `), a query parameter (` + "`limit`" + `) or a header (` + "`Idempotency-Key`" + `); ` + "`body`, `item`, `query`" + ` and
` + "`fields`" + ` stand for the whole where the part has a name that could be anything.
`)
	return b.String()
}

func TestErrorsDocumentListsTheCodes(t *testing.T) {
	if *update {
		if err := os.WriteFile(errorsFile, []byte(errorsDocument()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(errorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(errorsDocument(), string(content)); diff != "" {
		t.Errorf("docs/errors.md is not that of the codes (go test ./api -update): %s", diff)
	}
	seen := map[string]bool{}
	for _, i := range api.Codes() {
		if seen[string(i.Code)] || i.Status < 400 || i.Title == "" || i.Remedy == "" {
			t.Errorf("the code %s is listed twice, or without status, meaning or remedy", i.Code)
		}
		seen[string(i.Code)] = true
	}
}

// described is as much of OpenAPI as the test looks at.
type described struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]json.RawMessage }
}

type operation struct {
	OperationID string
	Summary     string
	Tags        []string
	Security    []map[string][]string
	Parameters  []struct{ Name, In string }
	RequestBody *struct {
		Required bool
		Content  map[string]json.RawMessage
	}
	Responses map[string]struct{ Content map[string]json.RawMessage }
}

var reference = regexp.MustCompile(`"\$ref":\s*"#/components/schemas/([^"]+)"`)

func TestOpenAPIListsEveryRoute(t *testing.T) {
	w := refusingWorld(t)
	a := w.call(http.MethodGet, "/openapi.json", "", without("Authorization"))
	var d described
	a.into(t, &d)
	if a.status != http.StatusOK || !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Fatalf("status %d, OpenAPI %q", a.status, d.OpenAPI)
	}
	want := []string{
		"DELETE /v1/keys/{id}", "GET /livez", "GET /readyz", "GET /v1/edr", "GET /v1/keys", "GET /v1/notifications/{id}",
		"GET /v1/notifications/{id}/events", "GET /v1/projections", "GET /v1/projections/{name}", "GET /v1/reports/accounting", "GET /v1/reports/metrics", "GET /v1/reports/rollups", "GET /v1/scenarios", "GET /v1/set-aside", "POST /v1/keys",
		"POST /v1/notifications", "POST /v1/notifications/{id}/cancel", "POST /v1/notifications:batch", "POST /v1/projections/{name}:rebuild", "POST /v1/projections:rebuild", "POST /v1/projections:reconcile",
		"POST /v1/reports/history", "POST /v1/set-aside/{id}:retry",
	}
	var got []string
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			route := strings.ToUpper(method) + " " + path
			got = append(got, route)
			if ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s: no id of its own, no summary or no tag", route)
			}
			ids[op.OperationID] = true
			if strings.HasPrefix(path, "/v1/") != (len(op.Security) == 1) {
				t.Errorf("%s: security %v", route, op.Security)
			}
			for status, r := range op.Responses {
				if _, problem := r.Content["application/problem+json"]; status >= "400" && status <= "599" && !problem {
					t.Errorf("%s: %s is no problem", route, status)
				}
			}
			for _, name := range regexp.MustCompile(`{(\w+)}`).FindAllStringSubmatch(path, -1) {
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.Name == name[1] && p.In == "path" }) {
					t.Errorf("%s: the parameter %s is not described", route, name[1])
				}
			}
			// What is described returns: anything but 404 and 405 without a body that fits.
			if strings.Contains(path, "{") {
				continue
			}
			if live := w.call(strings.ToUpper(method), path, "", w.admin()); live.status == http.StatusNotFound || live.status == http.StatusMethodNotAllowed {
				t.Errorf("%s is described and answers %d", route, live.status)
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	body := d.Paths["/v1/notifications"]["post"].RequestBody
	if body == nil || !body.Required || !strings.Contains(string(body.Content["application/json"]), "RequestBody") {
		t.Error("the body of a request is not described")
	}
	for _, r := range reference.FindAllStringSubmatch(a.body, -1) {
		if _, ok := d.Components.Schemas[r[1]]; !ok {
			t.Errorf("the schema %s is referred to and not there", r[1])
		}
	}
}

func TestDocsLoadNothingFromOutside(t *testing.T) {
	w := newWorld(t)
	for path, kind := range map[string]string{"/docs": "text/html", "/docs/page.js": "text/javascript", "/docs/page.css": "text/css"} {
		a := w.call(http.MethodGet, path, "", without("Authorization"))
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", path, a.status, a.header.Get("Content-Type"))
		}
		if strings.Contains(a.body, "http://") || strings.Contains(a.body, "https://") || strings.Contains(a.body, `"//`) {
			t.Errorf("%s names a place outside", path)
		}
		if !strings.HasPrefix(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: no policy that forbids the rest", path)
		}
	}
}
