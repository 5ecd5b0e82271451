package config

import (
	"strings"
	"testing"

	"recapito/adapters/smpp"
	"recapito/commands/channel"
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
		{"values of another kind", "kafka:\n  brokers: SECRET\nroutes:\n  - name: x\n    channel: sms\n    policy: {back_off: SECRET}\n", []string{
			"line 2: must be a list of texts", "line 6: must be a duration such as 30s",
		}},
		{"settings of another kind", "routes:\n  - name: x\n    channel: sms\n    settings:\n      addr: a:1\n      binds: SECRET\n      password: [SECRET]\n", []string{
			"routes[0].settings:", "line 6: must be an integer", "line 7: must be a text",
		}},
		{"settings that do not exist", "routes:\n  - name: x\n    channel: sms\n    settings:\n      adr: SECRET\n", []string{
			"routes[0].settings: line 5: adr is no setting of sms",
		}},
		{"routes of another kind", "routes: SECRET\n", []string{"line 1: must be a list of routes"}},
		{"a section of another kind", "http: SECRET\n", []string{"line 1: must be keys and values"}},
		{"an open broker on the network", "kafka: {addr: \"0.0.0.0:9092\"}\n", []string{"\n  kafka.addr: must be an address of this machine alone"}},
		{"no YAML", "http: [\n", []string{"line 1"}},
		{"values against the rules", `
data: ""
http: {addr: nonsense}
metrics: {addr: "127.0.0.1:99999"}
log: {level: SECRET, format: SECRET}
routes:
  - {name: a-b, channel: sms, settings: {addr: SECRET, id_form: SECRET}, policy: {unknown: SECRET, tries: -3, back_off: -1s, receipt_window: 169h}}
  - {name: a-b, channel: SECRET}
`, []string{
			"\n  data: must name", "\n  http.addr: must be host:port", "\n  metrics.addr: must be", "\n  log.level: must be debug", "\n  log.format: must",
			"\n  routes[0].name: ", "\n  routes[0].settings.addr: ", "\n  routes[0].settings.id_form: ", "\n  routes[0].policy.unknown: ",
			"\n  routes[0].policy.tries: ", "\n  routes[0].policy.receipt_window: ", "\n  routes[0].policy.back_off: ", "\n  routes[1].name: ", "\n  routes[1].channel: must be one of sms",
		}},
	} {
		_, err := Load(writeFile(t, "recapito.yaml", c.yaml), nil, []channel.Kind{smpp.Kind})
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
