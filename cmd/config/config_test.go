package config

import (
	"strings"
	"testing"
)

// What is wrong in a configuration is reported with its line or key and the rule, all of it
// at once, and never with its value.
func TestConfigurationMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, yaml string
		want       []string
	}{
		{"keys that are none", "http:\n  adr: SECRET\nlogs: {}\n", []string{
			"\n  line 2: adr is no key here; docs/configuration.md lists all", "\n  line 3: logs is no key here",
		}},
		{"values of another kind", "kafka:\n  brokers: SECRET\nroutes:\n  - name: x\n    back_off: SECRET\n    binds: SECRET\n    password: [SECRET]\n", []string{
			"line 2: must be a list of texts", "line 5: must be a duration such as 30s", "line 6: must be an integer", "line 7: must be a text",
		}},
		{"routes of another kind", "routes: SECRET\n", []string{"line 1: must be a list of routes"}},
		{"a section of another kind", "http: SECRET\n", []string{"line 1: must be keys and values"}},
		{"no YAML", "http: [\n", []string{"line 1"}},
		{"values against the rules", `
data: ""
http: {addr: nonsense}
metrics: {addr: "127.0.0.1:99999"}
log: {level: SECRET, format: SECRET}
routes:
  - {name: a-b, addr: SECRET, channel: SECRET, id_form: SECRET, unknown: SECRET, tries: -3, back_off: -1s}
  - {name: a-b, addr: "127.0.0.1:2775"}
`, []string{
			"\n  data: must name", "\n  http.addr: must be host:port", "\n  metrics.addr: must be", "\n  log.level: must be debug", "\n  log.format: must",
			"\n  routes[0].name: ", "\n  routes[0].addr: ", "\n  routes[0]: only channel sms", "\n  routes[0].id_form: ", "\n  routes[0].unknown: ",
			"\n  routes[0].tries: ", "\n  routes[0].back_off: ", "\n  routes[1].name: ",
		}},
	} {
		_, err := Load(writeFile(t, "recapito.yaml", c.yaml), nil)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not said in\n%v", c.name, want, err)
			}
		}
		for _, never := range []string{"SECRET", "struct", "unmarshal"} {
			if strings.Contains(err.Error(), never) {
				t.Errorf("%s: %q is said in\n%v", c.name, never, err)
			}
		}
	}
}
