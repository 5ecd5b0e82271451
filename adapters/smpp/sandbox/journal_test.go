package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

// writeJournal makes a journal of a head and n messages, and gives where each ends.
func writeJournal(t *testing.T, dir string, n int) []int {
	t.Helper()
	var buf bytes.Buffer
	var ends []int
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	records := []record{{Kind: kindBegin, Version: journalVersion, Base: 100, At: at}}
	for i := range n {
		records = append(records, record{Kind: kindMessage, Number: uint64(101 + i), ID: fmt.Sprint(101 + i), At: at, Verdict: Accepted})
	}
	for _, r := range records {
		if err := encodeRecord(&buf, r); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, buf.Len())
	}
	if err := os.WriteFile(filepath.Join(dir, journalFile), buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return ends
}

// TestTornTail: cut anywhere, a journal holds the whole records before the cut, and
// goes on behind them.
func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	ends := writeJournal(t, dir, 3)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := ends[1]; cut <= len(whole); cut++ {
		want := 0
		for _, end := range ends[1:] {
			if end <= cut {
				want++
			}
		}
		for _, tail := range [][]byte{nil, make([]byte, 40)} { // a crash may leave zeros, too
			if err := os.WriteFile(path, append(whole[:cut:cut], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			entries, err := ReadJournal(dir)
			if err != nil || len(entries) != want {
				t.Fatalf("cut at %d: %d entries of %d, %v", cut, len(entries), want, err)
			}
		}
		j, records, err := openJournal(dir)
		if err != nil || len(records) != want+1 {
			t.Fatalf("cut at %d: opened with %d records, %v", cut, len(records), err)
		}
		stop := make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- j.run(stop) }()
		durable := make(chan error, 1)
		j.append(record{Kind: kindMessage, Number: 999, ID: "999"}, func(err error) { durable <- err })
		if err := <-durable; err != nil {
			t.Fatal(err)
		}
		close(stop)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		entries, err := ReadJournal(dir)
		if err != nil || len(entries) != want+1 || entries[want].ID != "999" {
			t.Fatalf("cut at %d, gone on: %d entries, %v", cut, len(entries), err)
		}
	}
}

func TestDamagedJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, journalFile)
	ends := writeJournal(t, dir, 3)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[ends[0]+frameHeader+5] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadJournal(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if _, err := New(Options{Dir: dir, Addr: "127.0.0.1:0"}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("opened: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, b) {
		t.Error("the damaged journal was touched")
	}
}

// TestAppendTogether: many appends at once are all there, each once, when they are
// said to be.
func TestAppendTogether(t *testing.T) {
	dir := t.TempDir()
	writeJournal(t, dir, 0)
	j, _, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- j.run(stop) }()
	const writers, each = 8, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				durable := make(chan error, 1)
				id := fmt.Sprint(w*each + i)
				j.append(record{Kind: kindMessage, Number: uint64(w*each + i + 1), ID: id}, func(err error) { durable <- err })
				if err := <-durable; err != nil {
					t.Error(err)
				}
				if i%50 == 0 {
					b, err := os.ReadFile(filepath.Join(dir, journalFile))
					if err != nil || !bytes.Contains(b, []byte(`"id":"`+id+`"`)) {
						t.Errorf("%s is said to be durable and is not in the file: %v", id, err)
					}
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	entries, err := ReadJournal(dir)
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.ID] = true
	}
	if err != nil || len(entries) != writers*each || len(seen) != writers*each {
		t.Errorf("%d entries, %d ids, %v", len(entries), len(seen), err)
	}
	late := make(chan error, 1)
	j.append(record{Kind: kindMessage}, func(err error) { late <- err })
	select {
	case err := <-late:
		if err == nil {
			t.Error("a closed journal took a record")
		}
	default: // in the queue of a journal that ended: never said to be durable
	}
}

func TestFolderIsTaken(t *testing.T) {
	dir := t.TempDir()
	_, stop := start(t, Options{Dir: dir})
	if _, err := New(Options{Dir: dir, Addr: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "another simulator") {
		t.Errorf("a second one: %v", err)
	}
	stop()
	_, stop = start(t, Options{Dir: dir})
	stop()
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir, Addr: "127.0.0.1:0"}); err == nil {
		t.Error("it opened a journal without its key")
	}
}

// TestNothingInClear: neither number nor text stands in any file of the folder, in
// any coding, while receipts are pending and after; and the files are ours alone.
func TestNothingInClear(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Options{Dir: dir, Behaviour: Behaviour{ReceiptDelay: 100 * time.Millisecond}})
	e := bound(t, s.Addr())
	for i := range 20 {
		e.submit(sm(t, fmt.Sprintf("n%d/1", i)))
	}
	eventually(t, "all are answered", func() bool { return s.Stats().Accepted == 20 })
	scan(t, dir)
	eventually(t, "all receipts are taken", func() bool { return s.Stats().Acknowledged == 20 })
	stop()
	scan(t, dir)
	entries, err := ReadJournal(dir)
	if err != nil || len(entries) != 20 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for _, e := range entries {
		if e.Destination != entries[0].Destination || e.Text != entries[0].Text || len(e.Text) != 64 {
			t.Error("equal messages have different hashes")
		}
	}
}

func scan(t *testing.T, dir string) {
	t.Helper()
	needles := map[string][]byte{}
	for what, clear := range map[string]string{"number": testNumber, "national number": testNumber[2:], "text": testText, "name": "Rossi"} {
		raw := []byte(clear)
		wide := binary.BigEndian.AppendUint16(nil, 0)[:0]
		little := []byte{}
		for _, u := range utf16.Encode([]rune(clear)) {
			wide = binary.BigEndian.AppendUint16(wide, u)
			little = binary.LittleEndian.AppendUint16(little, u)
		}
		needles[what+" in UTF-8"] = raw
		needles[what+" in UCS-2"] = wide
		needles[what+" in UCS-2, little endian"] = little
		needles[what+" in hex"] = []byte(hex.EncodeToString(raw))
		for shift := range 3 { // base64 of it inside something longer
			code := base64.StdEncoding.EncodeToString(append(make([]byte, shift), raw...))
			code = strings.TrimRight(code, "=")
			needles[fmt.Sprintf("%s in base64, %d", what, shift)] = []byte(code[2*min(shift, 1)+shift : len(code)-2])
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for what, needle := range needles {
			if bytes.Contains(b, needle) {
				t.Errorf("%s holds a %s", f.Name(), what)
			}
		}
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}
