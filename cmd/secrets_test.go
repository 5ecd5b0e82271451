package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/cockroachdb/pebble/v2"

	"recapito/domain/tenant"
)

// No destination, name or text that was sent stands anywhere in clear: not in a file
// of the data folder, not in a record as it is decoded, not in anything printed.
func TestNothingPersonalIsInClear(t *testing.T) {
	inEveryWorld(t, nothingPersonalIsInClear, "RECAPITO_TEST_UNCOMPRESSED=1")
}

func nothingPersonalIsInClear(t *testing.T, w *world) {
	const name, day = "Zacharias-Quux", "2031-07-19"
	numbers := []string{"+393409876501", "+393409876502"}
	smscProcess, smsc := startSMSC(t, w.dir, "127.0.0.1:0", "--receipt-delay", "100ms", "--receipt-spread", "100ms")
	config := w.config(smsc, "log: {level: debug}\n")
	p := startWith(t, w.env, "serve", "--config", config)
	i := instanceOf(t, p, w.dir)
	c := newClient(i, tenant.Default)

	var ids []string
	for n, number := range numbers {
		var accepted summary
		body := map[string]any{"scenario": "appointment", "recipient": fmt.Sprintf("cust-%d", n), "to": map[string][]string{"sms": {number}}, "fields": map[string]string{"name": name, "day": day}}
		if err := c.call(t.Context(), http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, accepted.ID)
	}
	for _, bad := range []map[string]any{ // refused, and repeated nowhere
		{"scenario": "appointment", "to": map[string][]string{"sms": {numbers[0] + "99999999"}}, "fields": map[string]string{"name": name}},
		{"scenario": name, "to": map[string][]string{numbers[1]: {numbers[0]}}, "fields": map[string]string{day: name}},
		{"scenario": "appointment", "to": map[string][]string{"sms": {numbers[0], numbers[1]}}, "fields": map[string]any{"day": []string{name}}},
		{"scenario": "appointment", "to": map[string][]string{"sms": numbers}, "reference": numbers[0]},
	} {
		err := c.call(t.Context(), http.MethodPost, "/v1/notifications", bad, nil)
		if err == nil {
			t.Error("a bad request was accepted")
			continue
		}
		search(t, "the answer to a bad request", []byte(err.Error()), secretForms(append(numbers, name, day)...))
	}
	var shown strings.Builder
	for _, id := range ids {
		eventually(t, time.Minute, func() error { return isFinal(t, c, id) })
		shown.WriteString(mustVerb(t, "show", id, "--data", w.dir))
		shown.WriteString(mustVerb(t, "show", id, "--data", w.dir, "--json"))
	}
	decoded := everyRow(t, w.clickhouse(i))
	p.stop()
	w.stop()
	smscProcess.stop()

	forms := secretForms(append(numbers, name, day, "cust-0", name+", we", name+",")...)
	search(t, "what serve printed", []byte(p.out.String()), forms)
	search(t, "what the engines printed", []byte(w.printed()), forms)
	search(t, "what smsc printed", []byte(smscProcess.out.String()), forms)
	search(t, "what show printed", []byte(shown.String()), forms)
	search(t, "the rows of ClickHouse", decoded, forms)
	files := 0
	err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		search(t, strings.TrimPrefix(path, w.root), raw, forms)
		return nil
	})
	if err != nil || files < 10 {
		t.Fatalf("searched %d files: %v", files, err)
	}
	for _, store := range []string{w.events(), filepath.Join(w.dir, "keys", "store")} {
		search(t, "the records of "+strings.TrimPrefix(store, w.root), everyRecord(t, store), forms)
	}
	// The search does find what is there in clear: the scenario's name.
	if !bytes.Contains(everyRecord(t, w.events()), []byte("appointment")) || !bytes.Contains(decoded, []byte("appointment")) {
		t.Error("the records were not read as they are")
	}
}

func isFinal(t *testing.T, c *client, id string) error {
	var now summary
	if err := c.call(t.Context(), http.MethodGet, "/v1/notifications/"+id, nil, &now); err != nil {
		return err
	}
	if !now.Final {
		return fmt.Errorf("%s is %s", id, now.State)
	}
	return nil
}

// everyRow reads every table of the read models as text, once they have caught up.
func everyRow(t *testing.T, addr string) []byte {
	t.Helper()
	ask := func(q string) (string, error) {
		answer, err := http.Get("http://" + addr + "/?database=recapito&query=" + url.QueryEscape(q))
		if err != nil {
			return "", err
		}
		defer func() { _ = answer.Body.Close() }()
		raw, err := io.ReadAll(answer.Body)
		if err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: status %d", q, answer.StatusCode)
		}
		return string(raw), err
	}
	query := func(q string) string {
		t.Helper()
		answer, err := ask(q)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	eventually(t, time.Minute, func() error { // the tables may not even be made yet
		n, err := ask("SELECT count() FROM edr WHERE status = 'delivered'")
		if err == nil && strings.TrimSpace(n) != "2" {
			err = fmt.Errorf("%s attempts are delivered in the EDR", strings.TrimSpace(n))
		}
		return err
	})
	var all bytes.Buffer
	for _, table := range strings.Fields(query("SHOW TABLES")) {
		arguments := ""
		if strings.HasSuffix(table, "_as_of") || strings.HasSuffix(table, "_cut") { // views of the first so many events
			arguments = "(cut = 1000000)"
		}
		all.WriteString(query("SELECT * FROM `" + table + "`" + arguments))
	}
	return all.Bytes()
}

// everyRecord reads every key and value of a Pebble store.
func everyRecord(t *testing.T, dir string) []byte {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{ReadOnly: true, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = it.Close() }()
	var all bytes.Buffer
	for it.First(); it.Valid(); it.Next() {
		all.Write(it.Key())
		all.Write(it.Value())
	}
	if all.Len() == 0 {
		t.Errorf("%s holds nothing", dir)
	}
	return all.Bytes()
}

// secretForms is every form in which a value could stand: UTF-8, UCS-2 both ways, in
// hexadecimal, and in base64 at each of its three alignments.
func secretForms(values ...string) map[string][]byte {
	forms := map[string][]byte{}
	for _, v := range values {
		v = strings.TrimPrefix(v, "+")
		var big, little []byte
		for _, u := range utf16.Encode([]rune(v)) {
			big, little = append(big, byte(u>>8), byte(u)), append(little, byte(u), byte(u>>8))
		}
		for name, raw := range map[string][]byte{"UTF-8": []byte(v), "UCS-2": big, "UCS-2 little-endian": little} {
			forms[v+" as "+name] = raw
			forms[v+" as "+name+" in hex"] = []byte(hex.EncodeToString(raw))
			forms[v+" as "+name+" in HEX"] = []byte(strings.ToUpper(hex.EncodeToString(raw)))
			for shift := range 3 {
				encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), raw...))
				first, last := []int{0, 2, 3}[shift], len(encoded)-4
				forms[fmt.Sprintf("%s as %s in base64+%d", v, name, shift)] = []byte(encoded[first:last])
			}
		}
	}
	return forms
}

// search errs if any form is found; it never prints the value.
func search(t *testing.T, where string, in []byte, forms map[string][]byte) {
	t.Helper()
	for what, form := range forms {
		if len(form) >= 4 && bytes.Contains(in, form) {
			t.Errorf("%s holds a value in clear (%s)", where, what[strings.Index(what, " as ")+1:])
		}
	}
}
