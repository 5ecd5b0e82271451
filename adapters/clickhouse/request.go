//go:build linux || darwin

package clickhouse

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const (
	maxTextBytes   = 1 << 20   // of a statement without its rows
	maxInsertBytes = 128 << 20 // of the rows of one insert, uncompressed; less under a small memory limit
	maxValuesBytes = 16 << 20  // the same in the format Values, which is looked through
	maxSettings    = 256       // and parameters, of one request
	maxIDBytes     = 128       // of a query id
	maxWindowBytes = 8 << 20   // of a zstd body: what its levels up to 19 use

	bodyPatience = 30 * time.Second // for the next bytes of a body
)

// request is one statement with all that came along.
type request struct {
	id         string // the client's name for it
	token      string // ours, by which it is cancelled
	database   string
	format     string // where the statement names none
	text       []byte
	rows       io.Reader  // the rows of an insert, if insert
	insert     insertHead // valid if isInsert
	isInsert   bool
	settings   []parameter
	parameters []parameter
	readOnly   bool
	inSession  bool    // a client that names a session, such as clickhouse-connect
	reader     *Reader // nil: the writer

	revision    uint64 // client_protocol_version
	knowsHello  bool   // the client is clickhouse-go, which asks for the revision first
	blocks      bool   // compress=1: the response in ClickHouse's compressed blocks
	blockMethod compress.Method
	encoding    string
}

// notSettings are query parameters of the HTTP interface itself. Those that
// are empty words here (role, wait_end_of_query, …) are accepted and mean
// nothing: a response is held back only until its first part is there.
var notSettings = []string{
	"query", "database", "default_format", "query_id", "user", "password", "quota_key", "role",
	"compress", "decompress", "client_protocol_version", "buffer_size", "wait_end_of_query",
	"session_id", "session_timeout", "session_check", "close_session", "stacktrace",
}

var settingName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// readRequest takes the request apart. What is left unread of its body are the
// rows of an insert.
func readRequest(w http.ResponseWriter, r *http.Request) (*request, error) {
	if media := r.Header.Get("Content-Type"); strings.HasPrefix(media, "multipart/") {
		return nil, refuse(codeNotImplemented, "external tables (a multipart body) are not supported")
	}
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(codeBadArguments, "the URL's query is malformed")
	}
	q := &request{
		id:       params.Get("query_id"),
		token:    newID(),
		database: first(params.Get("database"), r.Header.Get("X-ClickHouse-Database"), Database),
		format:   first(params.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated"),
		readOnly: r.Method != http.MethodPost,
		blocks:   params.Get("compress") == "1",

		knowsHello: strings.Contains(r.UserAgent(), "clickhouse-go/"),
	}
	if params.Get("enable_http_compression") == "1" {
		q.encoding = acceptedEncoding(r.Header)
	}
	if params.Get("session_check") == "1" {
		return nil, refuse(codeNoSession, "Session not found: each request has one of its own. (SESSION_NOT_FOUND)")
	}
	q.inSession = params.Get("session_id") != ""
	if !settingName.MatchString(q.format) {
		return nil, refuse(codeBadArguments, "the default format is not a name")
	}
	if len(q.id) > maxIDBytes {
		return nil, refuse(codeBadArguments, "the query id is longer than %d bytes", maxIDBytes)
	}
	if q.id == "" {
		q.id = q.token
	}
	if v := params.Get("client_protocol_version"); v != "" {
		if q.revision, err = strconv.ParseUint(v, 10, 32); err != nil {
			return nil, refuse(codeBadArguments, "client_protocol_version is not a number")
		}
	}
	q.blockMethod = compress.LZ4
	if strings.EqualFold(params.Get("network_compression_method"), "ZSTD") {
		q.blockMethod = compress.ZSTD
	}
	if err := q.readSettings(params); err != nil {
		return nil, err
	}
	body, err := requestBody(w, r, params.Get("decompress") == "1")
	if err != nil {
		return nil, err
	}
	return q, q.readText(params.Get("query"), body)
}

func (q *request) readSettings(params url.Values) error {
	if len(params) > maxSettings {
		return refuse(codeBadArguments, "more than %d settings and parameters", maxSettings)
	}
	for name, values := range params {
		value := values[len(values)-1]
		switch {
		case strings.HasPrefix(name, "param_"):
			q.parameters = append(q.parameters, parameter{strings.TrimPrefix(name, "param_"), value})
		case slices.Contains(notSettings, name):
		case !settingName.MatchString(name):
			return refuse(115, "a setting's name is malformed")
		case name == "log_comment":
			// Ours: it is how a running statement is found to cancel it.
		default:
			q.settings = append(q.settings, parameter{name, value})
		}
	}
	slices.SortFunc(q.settings, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return nil
}

// readText reads the statement: what the URL holds, followed by the body. Of
// an insert only the head is read.
func (q *request) readText(query string, body io.Reader) error {
	if len(query) > maxTextBytes {
		return refuse(codeQueryTooLarge, "the statement is longer than %d bytes", maxTextBytes)
	}
	if head, ok := parseInsert([]byte(query)); ok {
		rest := strings.TrimLeft(query[head.data:], " \t\r\n")
		q.text, q.insert, q.isInsert = []byte(query[:head.data]), head, true
		if q.rows = body; rest != "" {
			q.rows = io.MultiReader(strings.NewReader(rest), body)
		}
		return nil
	}
	start, err := io.ReadAll(io.LimitReader(body, maxTextBytes+1))
	if err != nil {
		return bodyError(err)
	}
	text := start
	if query != "" {
		text = append([]byte(query+"\n"), start...)
	}
	if head, ok := parseInsert(text); ok {
		q.insert, q.isInsert = head, true
		q.text, q.rows = text[:head.data], io.MultiReader(bytes.NewReader(text[head.data:]), body)
		return nil
	}
	if len(start) > maxTextBytes {
		return refuse(codeQueryTooLarge, "the statement is longer than %d bytes", maxTextBytes)
	}
	q.text = bytes.TrimSpace(text)
	if len(q.text) == 0 {
		return refuse(codeSyntax, "Empty query")
	}
	return nil
}

// requestBody undoes the body's encodings, and gives up on a sender that stops
// sending.
func requestBody(w http.ResponseWriter, r *http.Request, blocks bool) (io.Reader, error) {
	var body io.Reader = &patientReader{r: r.Body, control: http.NewResponseController(w)}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindowBytes))
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	case "lz4":
		body = lz4.NewReader(body)
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, bodyError(err)
		}
		body = z
	default:
		return nil, refuse(codeUnknownCodec, "the Content-Encoding is none of gzip, zstd, lz4, deflate, identity")
	}
	if blocks {
		body = &blockReader{compress.NewReader(body)}
	}
	return body, nil
}

// blockReader gives io.EOF plainly, which the compressed blocks' reader wraps.
type blockReader struct{ r *compress.Reader }

func (b *blockReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// patientReader waits a bounded time for each piece.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	// A connection that cannot have a deadline (in a test) has none.
	_ = p.control.SetReadDeadline(time.Now().Add(bodyPatience))
	n, err := p.r.Read(b)
	if err != nil {
		_ = p.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// bodyError is the response to a body that cannot be read. The cause is
// the sender's own doing and may hold its bytes, so it is not repeated.
func bodyError(err error) error {
	if e := new(Exception); errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%w (%T)", refuse(codeCannotRead, "the request's body cannot be read"), err)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
