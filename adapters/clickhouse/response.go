//go:build linux || darwin

package clickhouse

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
)

const (
	// What is held back before the status is sent, so that a statement that
	// fails early has the right one.
	holdBytes  = 256 << 10
	blockBytes = 1 << 20 // of one compressed block, uncompressed

	writePatience = 60 * time.Second // for a reader to take what is written
)

// response is the response to one request: held back at first, then streamed,
// compressed as the client asked.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	engine  *engine
	tag     string // marks an exception within the body

	id     string
	format string // of the output, once known
	method compress.Method
	blocks bool
	// encoding compresses the complete body; blocks are compressed already. Empty: none.
	encoding string

	release func() error // what must still hold when the first byte goes out; may be nil

	held    []byte
	started bool
	body    io.Writer        // after started
	closer  io.Closer        // ends a compressed stream
	packer  *compress.Writer // of compressed blocks
}

func newResponse(w http.ResponseWriter, e *engine) *response {
	return &response{w: w, control: http.NewResponseController(w), engine: e, tag: strings.ToLower(rand.Text()[:16])}
}

// of takes what the request asks for its response.
func (o *response) of(q *request) {
	o.id, o.format, o.blocks, o.method = q.id, q.format, q.blocks, q.blockMethod
	if !q.blocks {
		o.encoding = q.encoding
	}
}

func (o *response) Write(p []byte) (int, error) {
	if !o.started {
		if len(o.held)+len(p) <= holdBytes {
			o.held = append(o.held, p...)
			return len(p), nil
		}
		if err := o.start(); err != nil {
			return 0, err
		}
	}
	if o.blocks {
		// Blocks are cut where they are full.
		o.held = append(o.held, p...)
		for len(o.held) >= blockBytes {
			if err := o.writeBlock(o.held[:blockBytes]); err != nil {
				return 0, err
			}
			o.held = append(o.held[:0], o.held[blockBytes:]...)
		}
		return len(p), nil
	}
	return o.write(p)
}

func (o *response) write(p []byte) (int, error) {
	_ = o.control.SetWriteDeadline(time.Now().Add(writePatience))
	n, err := o.body.Write(p)
	if err != nil {
		return n, fmt.Errorf("write the response: %w", err)
	}
	return n, nil
}

func (o *response) writeBlock(p []byte) error {
	if o.packer == nil {
		o.packer = compress.NewWriter(compress.LevelZero, o.method)
	}
	if err := o.packer.Compress(p); err != nil {
		return fmt.Errorf("compress the response: %w", err)
	}
	_, err := o.write(o.packer.Data)
	return err
}

// start sends the header and what was held back.
func (o *response) start() error {
	if o.release != nil {
		if err := o.release(); err != nil {
			return err
		}
	}
	o.started = true
	o.header(o.format)
	o.w.Header().Set("X-ClickHouse-Exception-Tag", o.tag)
	o.body = o.w
	if o.encoding != "" {
		z, err := encoder(o.w, o.encoding)
		if err != nil {
			return err
		}
		o.w.Header().Set("Content-Encoding", o.encoding)
		o.body, o.closer = z, z
	}
	o.w.WriteHeader(http.StatusOK)
	if o.blocks {
		return nil // held goes out with the next full block
	}
	held := o.held
	o.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := o.write(held)
	return err
}

// header sets what every response has.
func (o *response) header(format string) {
	h := o.w.Header()
	h.Set("Content-Type", contentType(format))
	h.Set("X-ClickHouse-Format", format)
	h.Set("X-ClickHouse-Server-Display-Name", o.engine.name)
	h.Set("X-ClickHouse-Timezone", o.engine.timezone)
	if o.id != "" {
		h.Set("X-ClickHouse-Query-Id", o.id)
	}
}

// finish sends what is left. The summary stands in the header, so only where
// that is not gone yet.
func (o *response) finish(res result, took time.Duration) error {
	if !o.started {
		o.w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(
			`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"0","elapsed_ns":"%d"}`,
			res.readRows, res.readBytes, res.writtenRows, res.writtenBytes, res.rows+res.writtenRows, took.Nanoseconds()))
		if !o.blocks && o.encoding == "" || len(o.held) == 0 {
			o.encoding = ""
			o.w.Header().Set("Content-Length", strconv.Itoa(len(o.held)))
		}
		if err := o.start(); err != nil {
			return err
		}
	}
	return o.end()
}

func (o *response) end() error {
	if o.blocks && len(o.held) > 0 {
		if err := o.writeBlock(o.held); err != nil {
			return err
		}
		o.held = nil
	}
	if o.closer != nil {
		if err := o.closer.Close(); err != nil {
			return fmt.Errorf("end the response: %w", err)
		}
	}
	return nil
}

// fail sends an exception: with its status, or within the body if that
// is already on its way.
func (o *response) fail(err error) {
	e := new(Exception)
	if !errors.As(err, &e) {
		e = refuse(codeUnknown, "the front failed")
	}
	if o.started {
		// If this fails too, the client is gone, and no one is left to report to.
		_ = o.failWithin(e)
		return
	}
	o.header("TabSeparated")
	h := o.w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Del("Content-Length") // of a response that is not sent
	h.Del("Content-Encoding")
	h.Del("X-ClickHouse-Summary")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
	if e.Code == codeRequiredPassword {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	o.w.WriteHeader(e.httpStatus())
	_, _ = fmt.Fprintln(o.w, e.Message)
}

// failWithin ends a body that is on its way with the exception. In a stream of
// compressed blocks it is one of its own that is not compressed, since
// clickhouse-go looks for the text in the bytes as they come.
func (o *response) failWithin(e *Exception) error {
	frame := e.frame(o.tag)
	if !o.blocks {
		_, err := o.write(frame)
		return errors.Join(err, o.end())
	}
	if err := o.end(); err != nil {
		return err
	}
	o.packer = compress.NewWriter(compress.LevelZero, compress.None)
	return o.writeBlock(frame)
}

func contentType(format string) string {
	lower := strings.ToLower(format)
	switch {
	case strings.HasPrefix(lower, "jsoneachrow"), strings.HasPrefix(lower, "jsoncompacteachrow"), lower == "jsonlines", lower == "ndjson":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(lower, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(lower, "csv"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(lower, "tabseparated"), strings.HasPrefix(lower, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case lower == "xml":
		return "application/xml; charset=UTF-8"
	case strings.HasPrefix(lower, "pretty"), lower == "vertical", lower == "values", lower == "markdown":
		return "text/plain; charset=UTF-8"
	default:
		return "application/octet-stream"
	}
}
