package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"recapito/adapters/smpp"
	"recapito/commands/channel"
	"recapito/domain/receipt"
)

// docs/configuration.md has every key, its variable and its default, and no other.
func TestConfigurationPageIsTrue(t *testing.T) {
	page := document(t, "docs/configuration.md")
	general, rest, _ := strings.Cut(page, "## A route")
	route, variables, _ := strings.Cut(rest, "## Variables that are no keys")
	route, _, _ = strings.Cut(route, "## Settings of a route")

	want := map[string][]string{}
	describe(reflect.ValueOf(Default()), "", want)
	delete(want, "routes")
	want["routes"] = []string{"file only", "one, to `" + SMSCAddr + "`"}
	want["clickhouse.readers"] = []string{"file only", "none"}
	compareRows(t, want, rowsOf(general))

	want = map[string][]string{}
	for name, d := range policyDefaults() {
		want[name] = []string{d}
	}
	compareRows(t, want, rowsOf(route))

	for _, v := range regexp.MustCompile("`(RECAPITO_[A-Z_]+)`").FindAllStringSubmatch(variables, -1) {
		var c Config
		if err := overrideByEnv(&c, []string{v[1] + "=x"}); err != nil || !reflect.ValueOf(c).IsZero() {
			t.Errorf("%s is said to be no key", v[1])
		}
	}
}

// describe returns for each key the cells after its name: variable and default.
func describe(v reflect.Value, prefix string, want map[string][]string) {
	for i := range v.NumField() {
		key := prefix + v.Type().Field(i).Tag.Get("yaml")
		if v.Field(i).Kind() == reflect.Struct {
			describe(v.Field(i), key+".", want)
			continue
		}
		standard := "none"
		if !v.Field(i).IsZero() {
			standard = fmt.Sprintf("`%v`", v.Field(i).Interface())
		}
		variable := "`RECAPITO_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "`"
		want[key] = []string{variable, standard}
	}
}

// policyDefaults are those of a policy that says nothing.
func policyDefaults() map[string]string {
	p := Policy{}.Policy()
	set := Policy{
		Tries: p.Tries, BackOff: time.Duration(p.BackOff), WireLimit: time.Duration(p.WireLimit), Redispatch: time.Duration(p.Redispatch),
		Patience: time.Duration(p.Patience), Unknown: string(p.Unknown), UnknownLimit: time.Duration(p.UnknownLimit), Resends: p.Resends,
		ReceiptWindow: Policy{}.Window(),
	}
	all := map[string]string{"name": "required", "channel": "required", "settings": "none"}
	v := reflect.ValueOf(set)
	for i := range v.NumField() {
		key, value := "policy."+v.Type().Field(i).Tag.Get("yaml"), v.Field(i)
		if value.Type() == reflect.TypeFor[time.Duration]() {
			all[key] = "`" + short(time.Duration(value.Int())) + "`"
			continue
		}
		all[key] = fmt.Sprintf("`%v`", value.Interface())
	}
	return all
}

// short writes 1h0m0s as 1h.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// rowsOf returns the cells of each row of a page's tables that begins with a name in
// code style, but its last cell: what it means must only be there.
func rowsOf(page string) map[string][]string {
	rows := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\|$").FindAllStringSubmatch(page, -1) {
		cells := strings.Split(m[2], " | ")
		if len(cells) < 2 || strings.TrimSpace(cells[len(cells)-1]) == "" {
			cells = append(cells, "no meaning")
		}
		rows[m[1]] = cells[:len(cells)-1]
	}
	return rows
}

func compareRows(t *testing.T, want, got map[string][]string) {
	t.Helper()
	for key, cells := range want {
		if !reflect.DeepEqual(got[key], cells) {
			t.Errorf("%s: the page says %q, the code %q", key, got[key], cells)
		}
	}
	for key := range got {
		if want[key] == nil {
			t.Errorf("%s is on the page and is no key", key)
		}
	}
}

// The route of the page can be loaded as it stands.
func TestConfigurationPagesRouteLoads(t *testing.T) {
	_, yaml, _ := strings.Cut(document(t, "docs/configuration.md"), "```yaml\n")
	yaml, _, _ = strings.Cut(yaml, "```")
	c, err := Load(writeFile(t, "recapito.yaml", yaml), nil, []channel.Kind{smpp.Kind})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Routes) != 1 || c.Routes[0].Form() != receipt.Text {
		t.Error("the page's route came out otherwise")
	}
}
