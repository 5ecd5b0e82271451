package api

import (
	"embed"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// The page over /openapi.json. It loads nothing from outside.
//
//go:embed docs/index.html docs/page.js docs/page.css
var docsPage embed.FS

// docsPolicy lets the page load only what is served here.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docs serves the description of every operation registered before.
func (s *Server) docs() {
	s.documentNumbers()
	description, err := json.MarshalIndent(s.api.OpenAPI(), "", "  ")
	if err != nil {
		panic("api: the description does not marshal: " + err.Error()) // plain types only
	}
	s.router.Get("/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(description) // a caller that has gone needs no answer
	})
	for path, asset := range map[string]struct{ file, kind string }{
		"/docs":          {"docs/index.html", "text/html; charset=utf-8"},
		"/docs/page.js":  {"docs/page.js", "text/javascript; charset=utf-8"},
		"/docs/page.css": {"docs/page.css", "text/css; charset=utf-8"},
	} {
		content, err := docsPage.ReadFile(asset.file)
		if err != nil {
			panic("api: " + err.Error()) // embedded above
		}
		s.router.Get(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asset.kind)
			w.Header().Set("Content-Security-Policy", docsPolicy)
			_, _ = w.Write(content)
		})
	}
}

// documentNumbers describes the query parameters that are numbers or times: they are
// taken as texts, so that a refusal is ours.
func (s *Server) documentNumbers() {
	least, most := 1.0, float64(MaxPage)
	for _, item := range s.api.OpenAPI().Paths {
		if item.Get == nil {
			continue
		}
		for _, p := range item.Get.Parameters {
			switch {
			case p.In != "query":
			case p.Name == "limit":
				p.Schema = &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
			case p.Name == "after":
				p.Schema = &huma.Schema{Type: huma.TypeInteger}
			case slices.Contains([]string{"from", "to"}, p.Name):
				p.Schema = &huma.Schema{Type: huma.TypeString, Format: "date-time"}
			}
		}
	}
}
