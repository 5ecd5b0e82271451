//go:build linux || darwin

package clickhouse

import (
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// responseEncodings are what a response may be compressed by, the best first.
var responseEncodings = []string{"zstd", "lz4", "gzip", "deflate"}

// acceptedEncoding picks one that the client takes (RFC 9110, section 12.5.3); empty is
// none. Weights but 0 are not looked at.
func acceptedEncoding(h http.Header) string {
	taken := map[string]bool{}
	for one := range strings.SplitSeq(h.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(one), ";")
		weight = strings.TrimRight(strings.ReplaceAll(weight, " ", ""), "0")
		taken[strings.ToLower(strings.TrimSpace(name))] = weight != "q=" && weight != "q=0."
	}
	for _, encoding := range responseEncodings {
		if taken[encoding] {
			return encoding
		}
	}
	return ""
}

// encoder compresses what is written to it into w.
func encoder(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "zstd":
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return nil, fmt.Errorf("compress the response: %w", err)
		}
		return z, nil
	case "lz4":
		return lz4.NewWriter(w), nil
	case "deflate":
		return zlib.NewWriter(w), nil
	}
	return gzip.NewWriter(w), nil
}
