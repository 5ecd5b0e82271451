package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

func readConfig(file string, c *Config) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if len(raw) > maxConfigBytes {
		return fmt.Errorf("%s: the file has more than %d bytes, which is the limit", file, maxConfigBytes)
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("configuration %s:%s", file, mistakes(err))
	}
	return nil
}

var (
	unknownKey = regexp.MustCompile(`^line (\d+): field (.+) not found in type `)
	wrongKind  = regexp.MustCompile(`(?s)^line (\d+): cannot unmarshal .* into (.+)$`)
	kinds      = map[string]string{
		"[]string": "a list of texts", "string": "a text", "receipt.Form": "a text", "int": "an integer",
		"time.Duration": "a duration such as 30s or 1h", "[]config.Route": "a list of routes", "[]config.Reader": "a list of readers",
	}
)

// mistakes are the YAML reader's complaints in words for who wrote the file: line and
// rule, without Go's types and without the value, which may be a password.
func mistakes(err error) string {
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return " " + strings.TrimPrefix(err.Error(), "yaml: ")
	}
	var b strings.Builder
	for _, complaint := range wrong.Errors {
		if m := unknownKey.FindStringSubmatch(complaint); m != nil {
			complaint = fmt.Sprintf("line %s: %s is no key here; docs/configuration.md lists all", m[1], m[2])
		} else if m := wrongKind.FindStringSubmatch(complaint); m != nil {
			kind, ok := kinds[m[2]]
			if !ok {
				kind = "keys and values"
			}
			complaint = fmt.Sprintf("line %s: must be %s", m[1], kind)
		}
		b.WriteString("\n  " + complaint)
	}
	return b.String()
}

// overrideByEnv sets the keys that hold a text, or a list of texts.
func overrideByEnv(c *Config, environ []string) error {
	set := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "RECAPITO_") {
			set[name] = value
		}
	}
	return override(reflect.ValueOf(c).Elem(), "RECAPITO", set)
}

func override(v reflect.Value, prefix string, set map[string]string) error {
	for i := range v.NumField() {
		field := v.Field(i)
		name := prefix + "_" + strings.ToUpper(v.Type().Field(i).Tag.Get("yaml"))
		if field.Kind() == reflect.Struct {
			if err := override(field, name, set); err != nil {
				return err
			}
			continue
		}
		value, ok := set[name]
		if !ok {
			continue
		}
		switch {
		case field.Kind() == reflect.String:
			field.SetString(value)
		case field.Type() == reflect.TypeFor[[]string]():
			field.Set(reflect.ValueOf(strings.Split(value, ",")))
		default:
			return fmt.Errorf("%s cannot be set in the environment, only in the file", name)
		}
	}
	return nil
}
