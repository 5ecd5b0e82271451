package clickhouse

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Codes of ClickHouse exceptions that are distinguished here (ErrorCodes.cpp).
const (
	codeBadArguments     = 36
	codeNotImplemented   = 48
	codeCannotOpenFile   = 76
	codeTimeout          = 159
	codeTooManyQueries   = 202
	codeQueryTooLarge    = 223
	codeCannotRead       = 33
	codeReadonly         = 164
	codeRequiredPassword = 194
	codeSameID           = 216
	codeAccessDenied     = 497
	codeAuthentication   = 516
	codeNoSession        = 372
	codeUnknown          = 1002
	codeSyntax           = 62
	codeUnknownCodec     = 89
	codeCannotDecompress = 271
)

// Exception is an error in ClickHouse's own form.
type Exception struct {
	Code    int
	Message string // the full text, as ClickHouse prints it
}

func (e *Exception) Error() string { return e.Message }

// refuse makes an exception of our own.
func refuse(code int, format string, args ...any) *Exception {
	return &Exception{Code: code, Message: fmt.Sprintf("Code: %d. DB::Exception: %s", code, fmt.Sprintf(format, args...))}
}

var exceptionCode = regexp.MustCompile(`^Code: (\d+)\. `)

// parseException reads the engine's error text.
func parseException(text string) *Exception {
	text = strings.TrimSpace(text)
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		if code, err := strconv.Atoi(m[1]); err == nil {
			return &Exception{Code: code, Message: text}
		}
	}
	return refuse(codeUnknown, "%s", text)
}

// httpStatus is the status of ClickHouse's response to an exception.
func (e *Exception) httpStatus() int {
	switch e.Code {
	case 6, 20, 25, 26, 27, 34, 35, codeBadArguments, 38, 41, 42, 43, 53, codeSyntax, 70, 72, 117, 129, 131, 376, 377, 441, 457,
		codeUnknownCodec, codeCannotDecompress, codeCannotRead:
		return http.StatusBadRequest
	case 16, 46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 128, 181, 336, codeNoSession:
		return http.StatusNotFound
	case codeRequiredPassword:
		return http.StatusUnauthorized
	case 192, 193, codeAuthentication, codeAccessDenied:
		return http.StatusForbidden
	case codeTimeout:
		return http.StatusRequestTimeout
	case codeQueryTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeNotImplemented:
		return http.StatusNotImplemented
	case codeCannotOpenFile, codeTooManyQueries, 209, 439:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// frame is the form of an exception in a body whose status is already sent:
// clients look for the marker and the tag that a header announced.
func (e *Exception) frame(tag string) []byte {
	return fmt.Appendf(nil, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", tag, e.Message, len(e.Message)+1, tag)
}
