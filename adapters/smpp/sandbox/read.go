package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Verdict is what the simulator did with a message.
type Verdict string

// The verdicts.
const (
	Accepted  Verdict = "accepted"
	Refused   Verdict = "refused"
	Throttled Verdict = "throttled"
)

// ReceiptFate is what becomes of a message's receipt.
type ReceiptFate string

// The fates of a receipt.
const (
	ReceiptNone         ReceiptFate = ""             // not asked for, or the message was not accepted
	ReceiptPending      ReceiptFate = "pending"      // to be sent, or to be sent again
	ReceiptAcknowledged ReceiptFate = "acknowledged" // the ESME took it
	ReceiptLost         ReceiptFate = "lost"         // never sent (Mix.LoseReceipt)
)

// Entry is one submit_sm that reached the simulator.
type Entry struct {
	// ID is the message id of the response; empty if it was not accepted.
	ID string
	// At is when it came.
	At time.Time
	// Reference and Part are what the ESME sent in wire.TagReference and TagPart; the
	// part, and Total, otherwise come from the user data header. Parts count from 1.
	Reference   string
	Part, Total int
	// Destination and Text are keyed hashes: equal values, equal hashes, in this journal.
	Destination string
	Text        string
	Verdict     Verdict
	Status      uint32 // command_status of the answer
	Silent      bool   // the answer was withheld (Mix.LoseAnswer)
	Receipt     ReceiptFate
	Delivered   bool // the status of the receipt
	ReceiptDue  time.Time
	// AcknowledgedAt is when the ESME took the receipt.
	AcknowledgedAt time.Time
}

// ReadJournal gives the entries of a simulator's folder in the order they came. It may be
// read while the simulator runs: what is not complete yet is left out.
func ReadJournal(dir string) ([]Entry, error) {
	f, err := os.Open(filepath.Join(dir, journalFile))
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	records, _, err := readRecords(f)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var entries []Entry
	at := map[uint64]int{}
	for _, r := range records {
		switch r.Kind {
		case kindMessage:
			e := Entry{
				ID: r.ID, At: r.At, Reference: r.Reference, Part: r.Part, Total: r.Total,
				Destination: r.Destination, Text: r.Text, Verdict: r.Verdict, Status: r.Status,
				Silent: r.Silent, Receipt: r.Receipt, Delivered: r.Delivered,
			}
			if r.Receipt == ReceiptPending {
				e.ReceiptDue = r.At.Add(r.Delay)
			}
			at[r.Number] = len(entries)
			entries = append(entries, e)
		case kindReceipt:
			if i, ok := at[r.Number]; ok {
				entries[i].Receipt = ReceiptAcknowledged
				entries[i].AcknowledgedAt = r.At
			}
		}
	}
	return entries, nil
}

const (
	kindBegin   = "begin"
	kindMessage = "message"
	kindReceipt = "receipt"
)

// readRecords reads every whole record, and tells where the last of them ends. A
// broken record at the end is a write that a crash cut short; one with whole records
// after it is damage.
func readRecords(f *os.File) ([]record, int64, error) {
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, 0, err
	}
	var records []record
	at := 0
	for at < len(b) {
		body, ok := frameAt(b, at)
		if !ok {
			if wholeAfter(b, at) {
				return nil, 0, fmt.Errorf("%w at byte %d", ErrCorrupt, at)
			}
			break
		}
		var r record
		if err := json.Unmarshal(body, &r); err != nil {
			return nil, 0, fmt.Errorf("%w at byte %d: %w", ErrCorrupt, at, err)
		}
		if r.Kind == kindBegin && r.Version != journalVersion {
			return nil, 0, fmt.Errorf("journal of version %d, not %d", r.Version, journalVersion)
		}
		records = append(records, r)
		at += frameHeader + len(body)
	}
	return records, int64(at), nil
}

// frameAt is the record that begins there, if it is whole.
func frameAt(b []byte, at int) ([]byte, bool) {
	if len(b)-at < frameHeader {
		return nil, false
	}
	n := int(binary.BigEndian.Uint32(b[at:]))
	if n == 0 || n > maxRecord || len(b)-at-frameHeader < n {
		return nil, false
	}
	body := b[at+frameHeader : at+frameHeader+n]
	return body, crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(b[at+4:])
}

// wholeAfter reports whether a whole record begins right where the broken one says it ends.
func wholeAfter(b []byte, at int) bool {
	if len(b)-at < frameHeader {
		return false
	}
	n := int(binary.BigEndian.Uint32(b[at:]))
	next := at + frameHeader + n
	if n > maxRecord || next >= len(b) {
		return false
	}
	_, ok := frameAt(b, next)
	return ok
}
