package reports

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"recapito/api"
	"recapito/api/reports/export"
)

// The trailers of a file: they come after it, and only if it is complete. The digest is RFC
// 9530's; the manifest is JSON in ASCII.
const (
	TrailerManifest = "Recapito-Manifest"
	TrailerRows     = "Recapito-Rows"
	TrailerDigest   = "Repr-Digest"
)

// writeFile streams a report. What fails before the first bytes is a problem; what fails
// later ends the connection, so that no reader takes the file for complete.
func (s *service) writeFile(hc huma.Context, f export.Format, a *asked) {
	r, w := humachi.Unwrap(hc)
	select {
	case s.files <- struct{}{}:
		defer func() { <-s.files }()
	default:
		api.NewProblem(api.CodeTooManyRequests, "so many files are being written that this one must wait").Write(w)
		return
	}
	out := &fileBody{ResponseWriter: w, control: http.NewResponseController(w), format: f}
	// A long answer: what bounds it is that each piece must be taken in time. Reading has
	// ended, and its timeout must not end the answer.
	_ = out.control.SetReadDeadline(time.Time{})
	buffered := bufio.NewWriterSize(out, fileBuffer)
	err := s.fill(r.Context(), buffered, f, a)
	switch {
	case err == nil:
		out.end(&a.manifest)
	case out.begun:
		_ = s.server.Problem(r.Context(), errors.Join(err, errCut), false) // logs it
		panic(http.ErrAbortHandler)
	default:
		p := s.server.Problem(r.Context(), reportProblem(err), false)
		p.Write(w)
	}
}

// errCut: a file could not be ended.
var errCut = errors.New("a file was cut off while it was written")

func (s *service) fill(ctx context.Context, to *bufio.Writer, f export.Format, a *asked) error {
	file, err := export.New(f, to, a.columns)
	if err != nil {
		return err
	}
	if err := a.each(ctx, file.Row); err != nil {
		return err
	}
	a.manifest.Format, a.manifest.Columns = f.Name, a.columns
	if err := file.Close(&a.manifest); err != nil {
		return err
	}
	a.manifest.Ended = s.server.Now().UTC()
	return to.Flush()
}

// fileBody writes the head with the first bytes, and gives every piece its own time.
type fileBody struct {
	http.ResponseWriter
	control *http.ResponseController
	format  export.Format
	begun   bool
}

func (b *fileBody) begin() {
	b.begun = true
	h := b.Header()
	h.Set("Content-Type", b.format.MediaType)
	for _, name := range []string{TrailerManifest, TrailerRows, TrailerDigest} {
		h.Add("Trailer", name)
	}
	b.WriteHeader(http.StatusOK)
}

func (b *fileBody) Write(p []byte) (int, error) {
	if !b.begun {
		b.begin()
	}
	_ = b.control.SetWriteDeadline(time.Now().Add(api.WriteTimeout))
	n, err := b.ResponseWriter.Write(p)
	if err == nil {
		err = b.control.Flush()
	}
	return n, err
}

// end writes the trailers.
func (b *fileBody) end(m *export.Manifest) {
	if !b.begun { // a file without a byte
		b.begin()
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic("api: a manifest does not marshal: " + err.Error()) // plain types only
	}
	sum, _ := hex.DecodeString(m.SHA256) // export wrote it
	h := b.Header()
	h.Set(TrailerManifest, ascii(text))
	h.Set(TrailerRows, strconv.FormatUint(m.Rows, 10))
	h.Set(TrailerDigest, "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":")
}

// ascii is JSON with every other character escaped, as a header needs it.
func ascii(text []byte) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(string(text))) {
		if unit < 0x7f {
			b.WriteByte(byte(unit))
		} else {
			fmt.Fprintf(&b, "\\u%04x", unit)
		}
	}
	return b.String()
}

// describeReport lists what a report returns.
func (s *service) describeReport(op huma.Operation, page any) {
	content := s.server.Documented(op).Responses["200"]
	content.Content = map[string]*huma.MediaType{
		"application/json": {Schema: s.server.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(page), true, "")},
	}
	for _, f := range export.Formats() {
		content.Content[f.MediaType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	manifest := s.server.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[export.Manifest](), true, "")
	content.Description = "A page, or a file of every row; then its manifest (" + manifest.Ref + ") comes as the trailer " + TrailerManifest + "."
}
