package scenariofile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"recapito/domain/notification"
	"recapito/domain/scenario"
)

// file is the shape of a scenario file. A nil pointer is a key that was left out.
type file struct {
	Name        string               `yaml:"name"`
	Tenant      *string              `yaml:"tenant"`
	Description string               `yaml:"description"`
	Brand       string               `yaml:"brand"`
	Segment     string               `yaml:"segment"`
	Fields      []field              `yaml:"fields"`
	Steps       []step               `yaml:"steps"`
	Senders     map[string]string    `yaml:"senders"`
	Content     map[string]yaml.Node `yaml:"content"`
}

type field struct {
	Name        string  `yaml:"name"`
	Type        *string `yaml:"type"`
	Required    bool    `yaml:"required"`
	Personal    *bool   `yaml:"personal"`
	Description string  `yaml:"description"`
}

type step struct {
	Channel  string   `yaml:"channel"`
	Channels []string `yaml:"channels"`
	Wanted   *string  `yaml:"wanted"`
	Wait     *string  `yaml:"wait"`
}

// parse reads one file, and returns its warnings too; shown is its name in errors.
func parse(fsys fs.FS, shown string, content []byte, channels scenario.Channels) (scenario.Definition, []string, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return scenario.Definition{}, nil, fmt.Errorf("%s: the file is empty", shown)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(content, &root); err != nil {
		return scenario.Definition{}, nil, yamlProblems(shown, err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	var f file
	if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
		return scenario.Definition{}, nil, fmt.Errorf("%s: the file holds no scenario", shown)
	} else if err != nil {
		return scenario.Definition{}, nil, yamlProblems(shown, err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return scenario.Definition{}, nil, fmt.Errorf("%s: a file holds one scenario (one YAML document)", shown)
	}
	d, problems := f.definition()
	var wrong scenario.Problems
	d.Contents, wrong = f.contents(fsys)
	problems = append(problems, wrong...)
	compiled, err := d.Compile(channels)
	var broken scenario.Problems
	switch {
	case errors.As(err, &broken):
		problems = merge(problems, broken)
	case err != nil:
		return scenario.Definition{}, nil, fmt.Errorf("%s: %w", shown, err)
	}
	if len(problems) > 0 {
		return scenario.Definition{}, nil, errors.New(strings.Join(located(shown, &root, problems), "\n"))
	}
	return compiled, located(shown, &root, compiled.Warnings), nil
}

// definition fills in what was left out.
func (f file) definition() (scenario.Definition, scenario.Problems) {
	var problems scenario.Problems
	d := scenario.Definition{
		Name: f.Name, Tenant: or(f.Tenant, scenario.DefaultTenant), Description: f.Description,
		Brand: f.Brand, Segment: f.Segment, Senders: f.Senders,
	}
	for _, in := range f.Fields {
		d.Fields = append(d.Fields, scenario.Field{
			Name: in.Name, Type: scenario.Type(or(in.Type, string(scenario.Text))),
			Required: in.Required, Personal: or(in.Personal, true), Description: in.Description,
		})
	}
	for i, in := range f.Steps {
		out := scenario.Step{
			Channels: in.Channels,
			Wanted:   notification.Status(or(in.Wanted, string(scenario.DefaultWanted))),
			Wait:     scenario.DefaultWait,
		}
		if in.Channel != "" {
			if len(in.Channels) > 0 {
				problems = append(problems, scenario.Problem{Path: fmt.Sprintf("steps[%d].channels", i), Rule: "give channel or channels, not both"})
			}
			out.Channels = []string{in.Channel}
		}
		if in.Wait != nil {
			wait, err := time.ParseDuration(*in.Wait)
			if err != nil {
				problems = append(problems, scenario.Problem{Path: fmt.Sprintf("steps[%d].wait", i), Rule: "must be a duration such as 90s, 30m or 1h30m"})
			}
			out.Wait = notification.Duration(wait)
		}
		d.Steps = append(d.Steps, out)
	}
	return d, problems
}

func or[T any](given *T, otherwise T) T {
	if given == nil {
		return otherwise
	}
	return *given
}

// merge drops what Compile says of a place that already has a problem of its own.
func merge(own, compiled scenario.Problems) scenario.Problems {
	reported := map[string]bool{}
	for _, p := range own {
		reported[p.Path] = true
	}
	for _, p := range compiled {
		if !reported[p.Path] {
			own = append(own, p)
		}
	}
	return own
}

var (
	yamlLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	// wrongKind holds the value and a type of Go, which are not shown.
	wrongKind    = regexp.MustCompile(`(?s)^cannot unmarshal (!!\w+) ?.* into (.+)$`)
	unknownField = regexp.MustCompile(`^field (.+) not found in type .*$`)
	knownKeys    = "name, tenant, description, brand, segment, fields, steps, senders, content; of a field name, type, required, personal, description; of a step channel, channels, wanted, wait"
)

// yamlProblems puts the decoder's errors into our words, with file and line.
func yamlProblems(shown string, err error) error {
	messages := []string{err.Error()}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		messages = several.Errors
	}
	problems := make([]error, len(messages))
	for i, message := range messages {
		place := shown
		if m := yamlLine.FindStringSubmatch(message); m != nil {
			place, message = shown+":"+m[1], m[2]
		}
		if m := unknownField.FindStringSubmatch(message); m != nil {
			message = fmt.Sprintf("unknown key %q (known: %s)", m[1], knownKeys)
		}
		if m := wrongKind.FindStringSubmatch(message); m != nil {
			message = "must be " + kindOf(m[2])
			if m[1] == "!!map" && strings.HasSuffix(m[2], "string") {
				message += " (one that begins with { needs quotes)"
			}
		}
		problems[i] = fmt.Errorf("%s: %s", place, strings.TrimPrefix(message, "yaml: "))
	}
	return errors.Join(problems...)
}

// kindOf is what is written in YAML for a type of ours.
func kindOf(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasSuffix(goType, "bool"):
		return "true or false"
	case strings.HasSuffix(goType, "string"):
		return "a text"
	}
	return "keys and values"
}

// located returns each problem with its file and line before it.
func located(shown string, root *yaml.Node, problems scenario.Problems) []string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		place := shown
		if line := lineOf(root, p); line > 0 {
			place += ":" + strconv.Itoa(line)
		}
		lines[i] = fmt.Sprintf("%s: %s: %s", place, p.Path, p.Rule)
	}
	return lines
}

var pathElement = regexp.MustCompile(`[a-z_]+|\d+`)

// lineOf finds the line of a problem's place, or of the nearest place round it that
// the file holds; 0 if there is none.
func lineOf(root *yaml.Node, p scenario.Problem) int {
	node := root
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	for _, element := range pathElement.FindAllString(p.Path, -1) {
		next := child(node, element)
		if next == nil {
			break
		}
		node = next
	}
	line := node.Line
	if node.Kind == yaml.ScalarNode && p.Line > 0 {
		switch node.Style {
		case yaml.LiteralStyle: // begins in the line below its |
			line += p.Line
		case 0: // plain, on one line
			line += p.Line - 1
		}
	}
	return line
}

func child(node *yaml.Node, element string) *yaml.Node {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if k := node.Content[i].Value; k == element || element == "channels" && k == "channel" {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(element); err == nil && i < len(node.Content) {
			return node.Content[i]
		}
	}
	return nil
}
