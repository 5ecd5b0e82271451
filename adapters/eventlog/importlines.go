package eventlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"recapito/domain/event"
)

// maxImportLine holds the largest event, its bytes escaped or in base 64.
const maxImportLine = 8 * MaxEventBytes

// Content types of EventStoreDB.
const (
	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

// importLine is an event of an import's source: one JSON object a line. Data and
// metadata are the bytes of the JSON value as it stands there, or those that base 64
// gives.
type importLine struct {
	Stream         string          `json:"stream"`
	Revision       *uint64         `json:"revision"`
	Position       *uint64         `json:"position"`
	ID             string          `json:"id"`
	Type           string          `json:"type"`
	ContentType    string          `json:"content_type"`
	Data           json.RawMessage `json:"data"`
	DataBase64     []byte          `json:"data_base64"`
	Metadata       json.RawMessage `json:"metadata"`
	MetadataBase64 []byte          `json:"metadata_base64"`
	Created        string          `json:"created"`
}

// ImportLines reads JSON Lines for Import: docs/eventstoredb.md lists the members. Errors
// name the line and the member, never what stands there.
func ImportLines(r io.Reader) func() (Imported, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxImportLine)
	n := 0
	return func() (Imported, error) {
		n++
		if !lines.Scan() {
			switch err := lines.Err(); {
			case errors.Is(err, bufio.ErrTooLong):
				return Imported{}, &ImportError{n, fmt.Errorf("longer than %d bytes", maxImportLine)}
			case err != nil:
				return Imported{}, fmt.Errorf("read the source after line %d: %w", n-1, err)
			}
			return Imported{}, io.EOF
		}
		e, err := parseImportLine(lines.Bytes())
		if err != nil {
			return Imported{}, &ImportError{n, err}
		}
		e.Line = n
		return e, nil
	}
}

func parseImportLine(line []byte) (Imported, error) {
	var l importLine
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Imported{}, lineError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Imported{}, errors.New("must be one JSON object and nothing else")
	}
	e := Imported{Recorded: event.Recorded{Stream: l.Stream, ID: l.ID, Type: l.Type}}
	switch {
	case l.Data != nil && l.DataBase64 != nil:
		return Imported{}, errors.New("data and data_base64: only one of them")
	case l.Metadata != nil && l.MetadataBase64 != nil:
		return Imported{}, errors.New("metadata and metadata_base64: only one of them")
	case l.ContentType == contentBinary && l.Data != nil:
		return Imported{}, fmt.Errorf("content_type: %s needs data_base64", contentBinary)
	case l.ContentType != "" && l.ContentType != contentJSON && l.ContentType != contentBinary:
		return Imported{}, fmt.Errorf("content_type: must be %s or %s", contentJSON, contentBinary)
	case l.Position != nil && *l.Position == 0:
		return Imported{}, errors.New("position: must be at least 1")
	}
	e.Binary = l.ContentType == contentBinary
	if e.Data = l.Data; l.Data == nil {
		e.Data = l.DataBase64
	}
	if e.Metadata = l.Metadata; l.Metadata == nil {
		e.Metadata = l.MetadataBase64
	}
	if l.Revision != nil {
		e.AtRevision, e.Revision = true, event.Revision(*l.Revision)
	}
	if l.Position != nil {
		e.Position = event.Position(*l.Position)
	}
	if l.Created != "" {
		at, err := time.Parse(time.RFC3339Nano, l.Created)
		if err != nil {
			return Imported{}, errors.New("created: must be a time as RFC 3339 writes it")
		}
		e.Created = at
	}
	return e, nil
}

// lineError describes what is wrong without quoting the source.
func lineError(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s: must be a %s", kind.Field, kind.Type)
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("is not a complete JSON object")
	}
	return errors.New("must be a JSON object with the members that docs/eventstoredb.md lists, and no others")
}
