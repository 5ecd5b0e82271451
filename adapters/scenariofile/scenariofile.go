// Package scenariofile reads scenarios from a folder of YAML files, one a file:
//
//	name: appointment            # required
//	tenant: default              # "default" if left out
//	description: Reminds of an appointment.
//	brand: acme                # whose voice it speaks with, for reports; none if left out
//	segment: care              # what part of the business it serves, for reports
//	fields:
//	  - name: day
//	    type: date               # text (if left out), number, date, boolean
//	    required: true           # false if left out
//	    personal: true           # true if left out: sealed wherever it is stored
//	    description: The day of the appointment.
//	steps:
//	  - channel: sms             # or channels: [sms, email], side by side
//	    wanted: delivered        # sent, delivered (if left out), read
//	    wait: 1h                 # how long for it; 1h if left out
//	senders:
//	  sms: Clinic                # the route's own if left out
//	content:                     # for each channel that a step names; see docs/channels.md
//	  sms:
//	    text: See you on {{ day }}.
//	  email:
//	    subject: Your appointment
//	    html: <p>See you on {{ day }}.</p>
//	    attachments:
//	      - {name: map.png, media_type: image/png, file: map.png} # in the same folder; or text: a template
//
// Everything is checked before anything is used: a key that is not known, a broken
// rule or a template that does not compile is an error naming file, line and rule, and
// Load reports all of them at once. A scenario's version is the SHA-256 of its file,
// shortened, so it changes exactly when the file does.
//
// Files are read once: a changed folder is seen at the next start.
package scenariofile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"recapito/domain/scenario"
)

// Limits of a folder.
const (
	MaxFiles      = 1_000
	MaxFileBytes  = 64 << 10
	versionLength = 12 // hexadecimal digits of the file's SHA-256
)

// Set is the scenarios of a folder. Safe for concurrent use.
type Set struct {
	byKey    map[key]scenario.Definition
	warnings []string
}

// Warnings are what does not stop a scenario from being used: file, line, place and rule.
func (s *Set) Warnings() []string { return s.warnings }

// version is made of the file and of the files that it attaches.
func version(file []byte, d scenario.Definition) string {
	h := sha256.New()
	h.Write(file)
	for _, channel := range slices.Sorted(maps.Keys(d.Contents)) {
		for _, a := range d.Contents[channel].Attachments {
			h.Write(a.Data)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:versionLength]
}

type key struct{ tenant, name string }

// Load reads the folder dir on disk.
func Load(dir string, channels scenario.Channels) (*Set, error) {
	root, err := os.OpenRoot(dir) // a symbolic link in it cannot lead out of it
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return LoadFS(root.FS(), dir, channels)
}

// LoadFS reads the top folder of fsys; label is what errors call it.
func LoadFS(fsys fs.FS, label string, channels scenario.Channels) (*Set, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the scenario folder %s: %w", label, err)
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if ext := path.Ext(name); !strings.HasPrefix(name, ".") && (ext == ".yaml" || ext == ".yml") {
			files = append(files, name)
		}
	}
	if len(files) > MaxFiles {
		return nil, fmt.Errorf("the scenario folder %s has more than %d files", label, MaxFiles)
	}
	set := &Set{byKey: make(map[key]scenario.Definition, len(files))}
	from := map[key]string{}
	var problems []error
	for _, name := range files {
		shown := filepath.Join(label, name)
		content, err := read(fsys, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", shown, err))
			continue
		}
		d, warnings, err := parse(fsys, shown, content, channels)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		d.Version = version(content, d)
		k := key{d.Tenant, d.Name}
		if other, taken := from[k]; taken {
			problems = append(problems, fmt.Errorf("%s: the scenario %s of tenant %s is already in %s", shown, d.Name, d.Tenant, other))
			continue
		}
		from[k], set.byKey[k] = shown, d
		set.warnings = append(set.warnings, warnings...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return set, nil
}

func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	defer func() { _ = f.Close() }() // opened for reading only
	content, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if len(content) > MaxFileBytes {
		return nil, fmt.Errorf("the file is larger than %d bytes", MaxFileBytes)
	}
	return content, nil
}

// Scenario returns the tenant's scenario of that name.
func (s *Set) Scenario(tenant, name string) (scenario.Definition, bool) {
	d, ok := s.byKey[key{tenant, name}]
	return d, ok
}

// Version returns the tenant's scenario of that name if it stands at that version:
// only the version that was in the folder at the last start is known.
func (s *Set) Version(tenant, name, version string) (scenario.Definition, bool) {
	d, ok := s.byKey[key{tenant, name}]
	if !ok || d.Version != version {
		return scenario.Definition{}, false
	}
	return d, true
}

// List returns the tenant's scenarios, by name.
func (s *Set) List(tenant string) []scenario.Definition {
	var out []scenario.Definition
	for k, d := range s.byKey {
		if k.tenant == tenant {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b scenario.Definition) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Tenants returns every tenant that has a scenario, sorted.
func (s *Set) Tenants() []string {
	var out []string
	for k := range s.byKey {
		out = append(out, k.tenant)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
