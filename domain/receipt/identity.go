package receipt

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"recapito/domain/event"
)

// Form is how a route's provider writes its message ids.
type Form string

// The forms of provider ids. Either is for providers that answer a submit in one
// base and report in the other; it registers a submission under both readings.
const (
	Text    Form = "text"
	Hex     Form = "hex"
	Decimal Form = "decimal"
	Either  Form = "either"
)

// maxID bounds a canonical id; longer ones (none are known) are cut to a digest.
const maxID = 100

// SubmissionIDs returns the canonical ids that a submission is registered under.
func (f Form) SubmissionIDs(raw string) []string {
	if f != Either {
		return []string{f.ReceiptID(raw)}
	}
	ids := []string{f.ReceiptID(raw)} // in decimal, if it can be
	if hex := Hex.ReceiptID(raw); hex != ids[0] {
		ids = append(ids, hex)
	}
	return ids
}

// ReceiptID returns the canonical id that a receipt is recorded under: numbers in
// decimal without leading zeros, anything else as lower-case text.
func (f Form) ReceiptID(raw string) string {
	text := strings.ToLower(strings.Trim(raw, "\x00 "))
	base := map[Form]int{Hex: 16, Decimal: 10, Either: 10}[f]
	if base != 0 {
		if n, ok := new(big.Int).SetString(text, base); ok && n.Sign() >= 0 && len(text) <= maxID {
			return n.String()
		}
	}
	if f == Either && len(text) <= maxID {
		if n, ok := new(big.Int).SetString(text, 16); ok && n.Sign() >= 0 {
			return n.String()
		}
	}
	return printable(text)
}

// printable keeps letters, digits and -._ and writes every other byte as %xx.
func printable(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() > maxID {
		return event.UUIDv5(receiptNamespace, b.String())
	}
	return b.String()
}

const receiptNamespace = "1d5c8a52-5a0e-5b0e-8a0b-2f6d3f6b7c11"

// ID identifies a receipt by its content: what the provider reported, and of what, as it
// came. The same report delivered again has the same id; a second report has another.
// Content that comes back long after, see RecordReceipt, gets an id of its own. of is the
// provider's id of the message, or what stands in its place: MessageOf.
func ID(route, of, destinationToken string, status Status, code string, doneAt time.Time) string {
	return event.UUIDv5(receiptNamespace, strings.Join([]string{
		route, of, destinationToken, string(status), code, doneAt.UTC().Format(time.RFC3339Nano),
	}, "\n"))
}

// MessageOf names the message of a report: by the provider's id, else by our reference and
// unit. Without either it is "", and reports of one content are one.
func MessageOf(rawProviderID, reference string, unit int) string {
	if rawProviderID != "" || reference == "" {
		return rawProviderID
	}
	return "reference\n" + reference + "\n" + strconv.Itoa(unit)
}

// again is the id of the n-th receipt of one content.
func again(id string, n int) string {
	return event.UUIDv5(receiptNamespace, id+"\n"+strconv.Itoa(n))
}

// Reference names an attempt to a provider that echoes it with each unit's receipt.
func Reference(notification string, attempt int) string {
	return notification + "/" + strconv.Itoa(attempt)
}

// ParseReference takes a reference apart.
func ParseReference(ref string) (notification string, attempt int, ok bool) {
	notification, number, found := strings.Cut(ref, "/")
	attempt, err := strconv.Atoi(number)
	if !found || notification == "" || err != nil || attempt < 1 {
		return "", 0, false
	}
	return notification, attempt, true
}
