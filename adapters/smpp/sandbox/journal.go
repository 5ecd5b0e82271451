package sandbox

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

const (
	journalFile    = "smsc.journal"
	journalVersion = 1

	// frameHeader is length and CRC-32C of the record that follows, 4 bytes each.
	frameHeader = 8
	// maxRecord is the longest record, in bytes.
	maxRecord = 8 << 10
	// journalQueue is how many records may wait for the disk; more make the reader
	// of their session wait.
	journalQueue = 8192
)

var (
	castagnoli      = crc32.MakeTable(crc32.Castagnoli)
	errJournalEnded = errors.New("the journal is closed")
	// ErrCorrupt: a journal that is damaged before its end. It is left as it is. (A power
	// cut that wrote the pages of the last batch out of order looks the same; a killed
	// process does not.)
	ErrCorrupt = errors.New("the journal is corrupt")
)

// record is a line of the journal. Kind says which of its fields count.
type record struct {
	Kind string `json:"k"` // begin, message, receipt

	Version int    `json:"v,omitempty"`    // begin
	Base    uint64 `json:"base,omitempty"` // begin: message numbers count from here

	Number uint64    `json:"n,omitempty"` // message, receipt
	At     time.Time `json:"at"`

	ID          string        `json:"id,omitempty"`
	Reference   string        `json:"ref,omitempty"`
	Part        int           `json:"part,omitempty"`
	Total       int           `json:"total,omitempty"`
	Destination string        `json:"dest,omitempty"` // keyed hash
	Text        string        `json:"text,omitempty"` // keyed hash
	Verdict     Verdict       `json:"verdict,omitempty"`
	Status      uint32        `json:"status,omitempty"`
	Silent      bool          `json:"silent,omitempty"`
	Receipt     ReceiptFate   `json:"receipt,omitempty"`
	Delivered   bool          `json:"delivered,omitempty"`
	Twice       bool          `json:"twice,omitempty"`
	Delay       time.Duration `json:"delay,omitempty"` // from At to when the receipt is due
	Addresses   []byte        `json:"box,omitempty"`   // sealed
}

// journal appends records durably: many that wait share one fsync.
type journal struct {
	file  *os.File
	queue chan appending
	ended chan struct{}
}

type appending struct {
	r       record
	durable func(error)
}

// openJournal opens the file, cuts off a torn tail, and gives what it holds.
func openJournal(dir string) (*journal, []record, error) {
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the journal: %w", err)
	}
	records, good, err := readRecords(f)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, 0)
	}
	if err == nil {
		err = errors.Join(f.Sync(), syncDir(dir))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the journal: %w", err), f.Close())
	}
	return &journal{file: f, queue: make(chan appending, journalQueue), ended: make(chan struct{})}, records, nil
}

// append queues a record. durable is called on the journal's goroutine once it is
// on disk, or with the error; it must not block.
func (j *journal) append(r record, durable func(error)) {
	select {
	case j.queue <- appending{r, durable}:
	case <-j.ended:
		durable(errJournalEnded)
	}
}

// run writes until stop is closed and the queue is empty, or the disk fails.
func (j *journal) run(stop <-chan struct{}) error {
	err := j.write(stop)
	close(j.ended)
	for {
		select {
		case a := <-j.queue:
			a.durable(errJournalEnded)
		default:
			return errors.Join(err, j.file.Close())
		}
	}
}

func (j *journal) write(stop <-chan struct{}) error {
	var buf bytes.Buffer
	var batch []appending
	for {
		batch = batch[:0]
		select {
		case a := <-j.queue:
			batch = append(batch, a)
		case <-stop:
			if len(j.queue) == 0 {
				return nil
			}
			continue
		}
		for len(j.queue) > 0 && len(batch) < journalQueue {
			batch = append(batch, <-j.queue)
		}
		buf.Reset()
		var err error
		for _, a := range batch {
			err = errors.Join(err, encodeRecord(&buf, a.r))
		}
		if err == nil {
			_, err = j.file.Write(buf.Bytes())
		}
		if err == nil {
			err = j.file.Sync()
		}
		for _, a := range batch {
			a.durable(err)
		}
		if err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
}

func encodeRecord(buf *bytes.Buffer, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	if len(b) > maxRecord {
		return fmt.Errorf("record of %d bytes is over %d", len(b), maxRecord)
	}
	var h [frameHeader]byte
	binary.BigEndian.PutUint32(h[0:4], uint32(len(b)))
	binary.BigEndian.PutUint32(h[4:8], crc32.Checksum(b, castagnoli))
	buf.Write(h[:])
	buf.Write(b)
	return nil
}
