package scenariofile

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"recapito/domain/content"
	"recapito/domain/scenario"
)

// attachment is the shape of an attachment.
type attachment struct {
	Name      string `yaml:"name"`
	MediaType string `yaml:"media_type"`
	Text      string `yaml:"text"`
	File      string `yaml:"file"`
}

const membersAttachments = "attachments"

// contents reads what the messages of each channel hold: members that are texts, and
// attachments.
func (f file) contents(fsys fs.FS) (map[string]scenario.Content, scenario.Problems) {
	var problems scenario.Problems
	all := make(map[string]scenario.Content, len(f.Content))
	for _, channel := range slices.Sorted(maps.Keys(f.Content)) {
		node := f.Content[channel]
		path := "content." + channel
		if node.Kind != yaml.MappingNode {
			problems = append(problems, scenario.Problem{Path: path, Rule: "must be members and their texts, such as text: See you."})
			continue
		}
		c := scenario.Content{Members: map[string]string{}}
		for i := 0; i+1 < len(node.Content); i += 2 {
			name, value := node.Content[i].Value, node.Content[i+1]
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			_, twice := c.Members[name]
			switch {
			case twice, name == membersAttachments && c.Attachments != nil:
				problems = append(problems, scenario.Problem{Path: path + "." + name, Rule: "is there twice"})
			case name == membersAttachments:
				var wrong scenario.Problems
				c.Attachments, wrong = attachments(fsys, path+"."+name, value)
				problems = append(problems, wrong...)
			case value.Kind != yaml.ScalarNode:
				problems = append(problems, scenario.Problem{Path: path + "." + name, Rule: "must be a text (one that begins with { needs quotes)"})
			default:
				c.Members[name] = value.Value
			}
		}
		all[channel] = c
	}
	return all, problems
}

func attachments(fsys fs.FS, path string, node *yaml.Node) ([]scenario.Attachment, scenario.Problems) {
	var problems scenario.Problems
	var out []scenario.Attachment
	if node.Kind != yaml.SequenceNode {
		return nil, scenario.Problems{{Path: path, Rule: "must be a list, each with name, media_type, and text or file"}}
	}
	for i, element := range node.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		for j := 0; j < len(element.Content); j += 2 {
			if k := element.Content[j].Value; element.Kind != yaml.MappingNode || k != "name" && k != "media_type" && k != "text" && k != "file" {
				problems = append(problems, scenario.Problem{Path: at, Rule: "has name, media_type, and text or file, and nothing else"})
				break
			}
		}
		var in attachment
		if err := element.Decode(&in); err != nil {
			problems = append(problems, scenario.Problem{Path: at, Rule: "has name, media_type, and text or file, each a text"})
			continue
		}
		a := scenario.Attachment{Name: in.Name, MediaType: in.MediaType, Text: in.Text}
		if in.File != "" {
			data, err := readAttachment(fsys, in.File)
			if err != nil {
				problems = append(problems, scenario.Problem{Path: at + ".file", Rule: err.Error()})
				continue
			}
			a.Data = data
		}
		out = append(out, a)
	}
	return out, problems
}

// readAttachment reads a file of the scenarios' folder. A path that leads out of it is
// no valid path of an fs.FS.
func readAttachment(fsys fs.FS, name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("must be a path below the scenarios' folder")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be opened")
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, content.MaxAttachmentsBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read")
	}
	if len(data) > content.MaxAttachmentsBytes {
		return nil, fmt.Errorf("is larger than %d bytes", content.MaxAttachmentsBytes)
	}
	return data, nil
}
