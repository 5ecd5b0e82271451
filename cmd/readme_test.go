package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"recapito/adapters/scenariofile"
	"recapito/cmd/config"
	"recapito/cmd/instance"
	"recapito/domain/tenant"
)

// A command of README.md: what a reader would paste, and the heading it stands under.
type pasted struct{ heading, text string }

func readme(t *testing.T) string { return document(t, "README.md") }

// document reads a page of the repository.
func document(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// writeFile writes a file into a folder of its own.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// commandsOf are the lines indented by four blanks outside of fences; a line that ends
// with a backslash goes on.
func commandsOf(page string) []pasted {
	var all []pasted
	var heading string
	fenced, goesOn := false, false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced:
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
		case goesOn:
			all[len(all)-1].text += "\n" + line
			goesOn = strings.HasSuffix(line, `\`)
		case strings.HasPrefix(line, "    ") && strings.TrimSpace(line) != "":
			all = append(all, pasted{heading, strings.TrimSpace(line)})
			goesOn = strings.HasSuffix(line, `\`)
		}
	}
	return all
}

// runElsewhere are the commands that cannot run in a test, and what shows that CI or
// make does the same.
var runElsewhere = map[string]func(*testing.T){
	"make run": func(t *testing.T) { // the recipe; what it starts is started below
		if !regexp.MustCompile(`(?m)^run: build clickhouse-library .*\n\tbin/recapito sandbox \$\(ARGS\)$`).MatchString(document(t, "Makefile")) {
			t.Error("make run is no longer build and `bin/recapito sandbox`, as this test believes")
		}
		if !regexp.MustCompile(`(?m)^step build make build$`).MatchString(document(t, ".ci/run")) {
			t.Error(".ci/run does not build by make")
		}
	},
	"make test": func(t *testing.T) {
		if !regexp.MustCompile(`(?m)^step test make test$`).MatchString(document(t, ".ci/run")) {
			t.Error(".ci/run does not run make test")
		}
	},
}

// reader is who follows README.md: a shell in the repository's folder, in which
// bin/recapito is there and an instance runs on ./data.
type reader struct {
	dir      string
	instance instance.RunFile
}

func newReader(t *testing.T, w *world) *reader {
	t.Helper()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is needed to run the commands of README.md", tool)
		}
	}
	r := &reader{dir: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asRecapito, self)
	if err := os.WriteFile(filepath.Join(r.dir, "bin", "recapito"), []byte(wrapper), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	data := filepath.Join(r.dir, "data")
	p := startWith(t, w.variables(), "sandbox", "--data", data, "--http", "127.0.0.1:0")
	r.instance = instanceOf(t, p, data)
	if w.outside() {
		r.instance.ClickHouse = w.clickhouse(r.instance)
	}
	t.Cleanup(p.stop)
	return r
}

// run runs a command as bash would, keeps its variables for the next, and returns what
// it printed.
func (r *reader) run(t *testing.T, command string) (string, error) {
	t.Helper()
	command = replaced(command, map[string]string{"127.0.0.1:8080": r.instance.HTTP, "127.0.0.1:8123": r.instance.ClickHouse})
	script := "touch variables; . ./variables\n" + command + "\nrc=$?\nfor v in id key; do [ -n \"${!v:-}\" ] && declare -p $v; done >variables\nexit $rc\n"
	bash := exec.CommandContext(t.Context(), "bash", "-c", script)
	bash.Dir = r.dir
	var out, errOut bytes.Buffer
	bash.Stdout, bash.Stderr = &out, &errOut
	if err := bash.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errOut.String())
	}
	return out.String(), nil
}

// replaced puts what is here in the place of what a page has.
func replaced(text string, here map[string]string) string {
	for standard, is := range here {
		text = strings.ReplaceAll(text, standard, is)
	}
	return text
}

// The steps of a notification that goes well, and who does each.
var (
	steps = []string{"requested", "enriched", "scheduled", "dispatched", "sent", "delivered"}
	doers = []string{"local", "local", "local", "system:dispatch", "system:dispatch", "provider:smsc"}
)

// claims say what the page claims of a command, by a pattern of the command.
var claims = []struct {
	command string
	holds   func(out string) error
}{
	{`^id=\$\(bin/recapito send notice `, nothing},
	{`^bin/recapito show "\$id" +# by e-mail`, failedOver},
	{`^id=\$\(bin/recapito send appointment `, nothing},
	{`^bin/recapito show "\$id"`, timelineIsComplete},
	{`^key=\$\(bin/recapito keys create `, nothing},
	{`/v1/notifications \\`, accepted},
	{`/v1/notifications/\$id" `, isDelivered},
	{`/v1/notifications/\$id/events"`, historyIsComplete},
	{`SELECT \* FROM edr `, rowIsThere},
	{`^bin/recapito report history `, historyIsPrinted},
	{`^bin/recapito audit reconcile$`, nothingDiffers},
}

func TestCommandsOfReadme(t *testing.T) {
	inEveryWorld(t, commandsOfReadme)
}

func commandsOfReadme(t *testing.T, w *world) {
	commands := commandsOf(readme(t))
	if len(commands) < len(claims)+len(runElsewhere) {
		t.Fatalf("only %d commands were found", len(commands))
	}
	r := newReader(t, w)
	claimed := 0
	for _, c := range commands {
		text, _, _ := strings.Cut(c.text, "  #")
		if elsewhere, ok := runElsewhere[strings.TrimSpace(text)]; ok {
			elsewhere(t)
			continue
		}
		holds := claimOf(c.text)
		if holds == nil {
			t.Errorf("under %q: no test knows what the command should print:\n%s", c.heading, c.text)
			continue
		}
		claimed++
		eventually(t, time.Minute, func() error { // the reader looks again, a second or two later
			out, err := r.run(t, c.text)
			if err != nil {
				return fmt.Errorf("%s\n%w", c.text, err)
			}
			if err := holds(out); err != nil {
				return fmt.Errorf("%s\n%w; it printed\n%s", c.text, err, out)
			}
			return nil
		})
	}
	if claimed != len(claims) {
		t.Errorf("%d of %d claims were looked at", claimed, len(claims))
	}
	if out, err := r.run(t, "curl -sf http://127.0.0.1:8080/docs"); err != nil || !strings.Contains(out, "<html") {
		t.Errorf("the page /docs is not there: %v", err)
	}
}

func claimOf(command string) func(string) error {
	for _, c := range claims {
		if regexp.MustCompile(c.command).MatchString(command) {
			return c.holds
		}
	}
	return nil
}

func nothing(out string) error {
	if out != "" {
		return errors.New("it should print nothing")
	}
	return nil
}

// timelineIsComplete: every step, in this order, in aligned columns.
func timelineIsComplete(out string) error {
	lines := strings.Split(out, "\n")
	who, event, what := strings.Index(lines[0], "WHO"), strings.Index(lines[0], "EVENT"), strings.Index(lines[0], "WHAT")
	if who < 0 || event < who || what < event || len(lines) < 1+len(steps) {
		return errors.New("it is no timeline of all steps")
	}
	for i, step := range steps {
		line := lines[i+1]
		if len(line) <= what || strings.TrimSpace(line[who:event]) != doers[i] || strings.TrimSpace(line[event:what]) != step {
			return fmt.Errorf("no line in its place that says %s by %s", step, doers[i])
		}
	}
	if !strings.Contains(out, "\nstate delivered, final\n") {
		return errors.New("the closing line is missing")
	}
	return nil
}

// failedOver: the mail server refused, and the message was delivered by SMS.
func failedOver(out string) error {
	last := 0
	for _, part := range []string{"Attempt 1 by email", "undelivered", "failed over", "Attempt 2 by sms", "\nstate delivered, final\n"} {
		i := strings.Index(out[last:], part)
		if i < 0 {
			return fmt.Errorf("%q is missing, or not in its place", part)
		}
		last += i
	}
	return nil
}

func accepted(out string) error {
	var answer struct {
		ID, State string
		Links     map[string]string
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	if answer.ID == "" || answer.State == "" || answer.Links["events"] != "/v1/notifications/"+answer.ID+"/events" {
		return errors.New("the answer has no id, state and links")
	}
	return nil
}

func isDelivered(out string) error {
	var answer struct {
		State    string
		Final    bool
		Attempts []struct{ Status string }
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	if answer.State != "delivered" || !answer.Final || len(answer.Attempts) != 1 || answer.Attempts[0].Status != "delivered" {
		return errors.New("the answer has not the state and the attempt")
	}
	return nil
}

func historyIsComplete(out string) error {
	var answer struct {
		Events []struct {
			Type, What, Who string
			Occurred        time.Time `json:"occurred_at"`
			Recorded        time.Time `json:"recorded_at"`
		}
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	if len(answer.Events) != len(steps) {
		return fmt.Errorf("%d events instead of %d", len(answer.Events), len(steps))
	}
	for i, e := range answer.Events {
		if phrase(e.Type) != steps[i] || e.What == "" || e.Who != doers[i] || e.Occurred.IsZero() || e.Recorded.IsZero() {
			return fmt.Errorf("event %d is not %s by %s with what and when", i, steps[i], doers[i])
		}
	}
	return nil
}

func rowIsThere(out string) error {
	if !regexp.MustCompile(`(?m)^notification: +\S+$`).MatchString(out) || !regexp.MustCompile(`(?m)^status: +delivered$`).MatchString(out) {
		return errors.New("no row of a delivered attempt")
	}
	return nil
}

func nothingDiffers(printed string) error {
	if !strings.Contains(printed, " events: 0 differences\n") {
		return fmt.Errorf("it says %q", printed)
	}
	return nil
}

func historyIsPrinted(out string) error {
	if !regexp.MustCompile(`(?m)^\S+ \S+ +[0-9a-f-]{36} +1 +sms +smsc +appointment +delivered `).MatchString(out) {
		return errors.New("no row of a delivered attempt")
	}
	return nil
}

// The excerpt of a timeline in README.md is as `show` prints it, and shows no number.
func TestReadmeShowsTheTimelineAsItIs(t *testing.T) {
	t.Parallel()
	page := readme(t)
	var head bytes.Buffer
	newTimeline(&head).head()
	if !strings.Contains(page, head.String()) {
		t.Error("the excerpt has another head than `recapito show`")
	}
	_, excerpt, _ := strings.Cut(page, head.String())
	excerpt, _, _ = strings.Cut(excerpt, "```")
	if err := timelineIsComplete(head.String() + excerpt); err != nil {
		t.Errorf("the excerpt: %v", err)
	}
	if strings.Contains(excerpt, "+39") {
		t.Error("the excerpt shows a number")
	}
}

// The scenario in README.md loads, and is one a request fits.
func TestReadmesScenarioLoads(t *testing.T) {
	t.Parallel()
	_, yaml, ok := strings.Cut(readme(t), "```yaml\n")
	if !ok {
		t.Fatal("README.md has no scenario")
	}
	yaml, _, _ = strings.Cut(yaml, "```")
	set, err := scenariofile.Load(filepath.Dir(writeFile(t, "appointment.yaml", yaml)), instance.ScenarioChannels(config.Config{Routes: []config.Route{config.DefaultRoute()}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := set.Scenario(tenant.Default, "appointment"); !ok {
		t.Error("no scenario appointment of the tenant default came of it")
	}
}
