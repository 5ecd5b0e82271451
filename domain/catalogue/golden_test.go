package catalogue_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"recapito/domain/domaintest"
	"recapito/domain/event"
	"recapito/domain/personal"
	"recapito/domain/personal/personaltest"
)

// update rewrites testdata/golden and docs/events.md. A golden file that changes is a
// change of what stands in stores: it needs a new name and an upcast.
var update = flag.Bool("update", false, "rewrite the golden files and docs/events.md")

const (
	goldenFolder = "testdata/golden"
	goldenTenant = "acme"
)

// person is whose the samples are; inClear stands in their personal values.
var (
	person  = personal.Ref{Person: "person-1", Key: "key-1"}
	inClear = []string{"+3900", "Ada", "Monday,", "will come"}
)

func TestEverySampleIsComplete(t *testing.T) {
	all := samples(t)
	for _, name := range codec(t).Names() {
		sample, ok := all[name]
		if !ok {
			t.Errorf("%s has no sample", name)
			continue
		}
		v := reflect.ValueOf(sample.event)
		for _, f := range reflect.VisibleFields(v.Type()) {
			// From is empty where an attempt is created; that is its meaning.
			if v.FieldByIndex(f.Index).IsZero() && (f.Name != "From" || name != "NotificationScheduled") {
				t.Errorf("%s: the sample leaves %s empty", name, f.Name)
			}
		}
	}
}

func TestGoldenFiles(t *testing.T) {
	c := codec(t)
	for name, sample := range samples(t) {
		t.Run(name, func(t *testing.T) {
			stored, data, err := c.Encode(t.Context(), personaltest.Sealer{}, goldenTenant, sample.module.Stream, sample.event)
			if err != nil {
				t.Fatal(err)
			}
			if stored != name {
				t.Fatalf("the sample is stored as %s", stored)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, data, "", "\t"); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			path := filepath.Join(goldenFolder, name+".json")
			if *update {
				write(t, path, pretty.Bytes())
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal("every stored name needs its golden file: ", err)
			}
			if diff := domaintest.Diff(string(golden), pretty.String()); diff != "" {
				t.Errorf("what is stored changed (-golden +now); a change needs a new name and an upcast:\n%s", diff)
			}
			for _, clear := range inClear {
				if strings.Contains(string(golden), clear) {
					t.Error("a personal value stands in clear")
				}
			}
		})
	}
}

// Every file, those of names that are not written any more too, is read as an event,
// and one of a present name is written again just as it was.
func TestGoldenFilesDecode(t *testing.T) {
	c, all := codec(t), samples(t)
	files, err := filepath.Glob(filepath.Join(goldenFolder, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		there = append(there, name)
		t.Run(name, func(t *testing.T) {
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sample, ok := all[name]
			if !ok {
				sample = all[presentName(t, c, name)]
			}
			stream := sample.module.Stream
			recorded := event.Recorded{Stream: stream, Type: name, Data: golden}
			decoded, err := c.Decode(t.Context(), personaltest.Sealer{}, goldenTenant, recorded)
			if err != nil {
				t.Fatal(err)
			}
			present, again, err := c.Encode(t.Context(), personaltest.Sealer{}, goldenTenant, stream, decoded)
			if err != nil {
				t.Fatal(err)
			}
			if present != name {
				return // an old name; its present one has a file of its own
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, golden); err != nil {
				t.Fatal(err)
			}
			if diff := domaintest.Diff(compact.String(), string(again)); diff != "" {
				t.Errorf("decoded and encoded again, it differs (-golden +again):\n%s", diff)
			}
			if diff := domaintest.Diff(sample.event, decoded); diff != "" {
				t.Errorf("decoded, it differs (-sample +decoded):\n%s", diff)
			}
			// Projections decode without a sealer, and those who erased without a key.
			if _, err := c.Decode(t.Context(), nil, goldenTenant, recorded); err != nil {
				t.Errorf("without a sealer: %v", err)
			}
			erased := personaltest.Sealer{Erased: map[string]bool{person.Key: true}}
			if _, err := c.Decode(t.Context(), erased, goldenTenant, recorded); err != nil {
				t.Errorf("erased: %v", err)
			}
		})
	}
	for _, d := range c.Describe() {
		for _, name := range append(d.Old, d.Name) {
			if !slices.Contains(there, name) {
				t.Errorf("%s has no golden file", name)
			}
		}
	}
}

func presentName(t *testing.T, c *event.Codec, old string) string {
	t.Helper()
	for _, d := range c.Describe() {
		if slices.Contains(d.Old, old) {
			return d.Name
		}
	}
	t.Fatalf("%s is stored somewhere, and no definition reads it", old)
	return ""
}

// Every event of the ledger says when it occurred.
func TestLedgerEventsSayWhenTheyOccurred(t *testing.T) {
	for name, sample := range samples(t) {
		if !sample.module.Operational && len(occurredAt(sample.event)) == 0 {
			t.Errorf("%s does not say when it occurred", name)
		}
	}
}

// occurredAt returns the fields that an event takes the time it occurred from: the
// first, and those that stand in where it is not known. It finds them by asking an
// event whose times all differ, and emptying the field that it came from.
func occurredAt(sample any) (fields []string) {
	if _, ok := sample.(interface{ OccurredAt() time.Time }); !ok {
		return nil
	}
	v := reflect.New(reflect.TypeOf(sample)).Elem()
	v.Set(reflect.ValueOf(sample))
	times := map[time.Time]reflect.StructField{}
	for i, f := range reflect.VisibleFields(v.Type()) {
		if f.Type == reflect.TypeFor[time.Time]() {
			at := event.SampleAt(time.Duration(i) * time.Hour)
			v.FieldByIndex(f.Index).Set(reflect.ValueOf(at))
			times[at] = f
		}
	}
	for {
		f, ok := times[v.Interface().(interface{ OccurredAt() time.Time }).OccurredAt()]
		if !ok || v.FieldByIndex(f.Index).IsZero() {
			return fields
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, name)
		v.FieldByIndex(f.Index).SetZero()
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
