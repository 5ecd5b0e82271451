package smpp

import (
	"fmt"
	"strings"
	"time"

	"github.com/fiorix/go-smpp/smpp/pdu/pdufield"
	"github.com/fiorix/go-smpp/smpp/pdu/pdutlv"

	"recapito/adapters/smpp/wire"
	"recapito/commands/channel"
	"recapito/domain/receipt"
)

// receiptText is what the text of a receipt says (SMPP 3.4, appendix B). Providers
// differ in case, order and fields, so everything may be missing.
type receiptText struct {
	id, stat, err string
	done          time.Time
	within        time.Duration // how coarse done is
}

// receiptKeys are the names of the fields, longest first where one ends another.
var receiptKeys = []string{
	"submit date", "submit_date", "submitdate", "done date", "done_date", "donedate",
	"dlvrd", "sub", "stat", "err", "text", "id",
}

// maxReceiptText bounds what is looked at, in bytes.
const maxReceiptText = 1024

// parseReceiptText reads the fields of a receipt's text, whatever their order. What
// follows `text:` is the person's message, not fields, unless nothing came before it.
func parseReceiptText(text string, loc *time.Location) receiptText {
	if len(text) > maxReceiptText {
		text = text[:maxReceiptText]
	}
	var r receiptText
	seen := map[string]bool{}
	for at := 0; at < len(text); {
		key, next := keyAt(text, at)
		if key == "" {
			at++
			continue
		}
		if key == "text" && (seen["id"] || seen["stat"]) {
			break
		}
		value, end := valueAt(text, next)
		at = end
		if seen[key] || key == "text" {
			continue
		}
		seen[key] = true
		switch key {
		case "id":
			r.id = value
		case "stat":
			r.stat = strings.ToUpper(value)
		case "err":
			r.err = value
		case "done date", "done_date", "donedate":
			r.done, r.within = receiptTime(value, loc)
		}
	}
	return r
}

// keyAt tells which field's name begins there, at the start of a word, and where its
// value begins.
func keyAt(text string, at int) (string, int) {
	if at > 0 && !isGap(text[at-1]) {
		return "", 0
	}
	for _, k := range receiptKeys {
		end := at + len(k)
		if end < len(text) && text[end] == ':' && strings.EqualFold(text[at:end], k) {
			return k, end + 1
		}
	}
	return "", 0
}

// valueAt is the word that begins there, blanks before it skipped; empty if another
// field begins instead.
func valueAt(text string, at int) (string, int) {
	for at < len(text) && isGap(text[at]) {
		at++
	}
	if k, _ := keyAt(text, at); k != "" {
		return "", at
	}
	end := at
	for end < len(text) && !isGap(text[end]) {
		end++
	}
	return strings.Trim(text[at:end], "\x00\"'"), end
}

func isGap(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ',' || c == ';' || c == '|'
}

// receiptTime reads YYMMDDhhmm, with seconds or a four-digit year in some, and tells
// how coarse it is; zero if it is none of these.
func receiptTime(s string, loc *time.Location) (time.Time, time.Duration) {
	layout, within := "", time.Second
	switch len(s) {
	case 10:
		layout, within = "0601021504", time.Minute
	case 12:
		layout = "060102150405"
	case 14:
		layout = "20060102150405"
	default:
		return time.Time{}, 0
	}
	t, err := time.ParseInLocation(layout, s, loc)
	if err != nil {
		return time.Time{}, 0
	}
	return t.UTC(), within
}

// stateNames are the words of a receipt's text for each message state.
var stateNames = map[string]byte{
	"ENROUTE": wire.StateEnroute, "DELIVRD": wire.StateDelivered, "DELIVERED": wire.StateDelivered,
	"EXPIRED": wire.StateExpired, "DELETED": wire.StateDeleted,
	"UNDELIV": wire.StateUndeliverable, "UNDELIVERED": wire.StateUndeliverable, "UNDELIVERABLE": wire.StateUndeliverable,
	"ACCEPTD": wire.StateAccepted, "ACCEPTED": wire.StateAccepted, "UNKNOWN": wire.StateUnknown,
	"REJECTD": wire.StateRejected, "REJECTED": wire.StateRejected,
	// Not of SMPP 3.4, but seen; FAILED is what many write for UNDELIV.
	"FAILED": wire.StateUndeliverable, "FAIL": wire.StateUndeliverable, "SKIPPED": wire.StateSkipped,
	"1": wire.StateEnroute, "2": wire.StateDelivered, "3": wire.StateExpired, "4": wire.StateDeleted, "5": wire.StateUndeliverable,
	"6": wire.StateAccepted, "7": wire.StateUnknown, "8": wire.StateRejected, "9": wire.StateSkipped,
}

// stateCodes name a failure whose receipt has no error code.
var stateCodes = map[byte]string{
	wire.StateExpired: "EXPIRED", wire.StateDeleted: "DELETED",
	wire.StateUndeliverable: "UNDELIV", wire.StateRejected: "REJECTD", wire.StateSkipped: "SKIPPED",
}

func receiptStatus(state byte) receipt.Status {
	switch state {
	case wire.StateDelivered:
		return receipt.Delivered
	case wire.StateExpired, wire.StateDeleted, wire.StateUndeliverable, wire.StateRejected, wire.StateSkipped:
		return receipt.Undelivered
	}
	return receipt.Intermediate
}

// isReceipt reports whether a deliver_sm or data_sm is a receipt. Its text alone does
// not make it one: a person could write that.
func isReceipt(f wire.Fields) bool {
	if f.Byte(pdufield.ESMClass)&(wire.ESMReceipt|wire.ESMIntermediate) != 0 {
		return true
	}
	_, named := f.TLV(pdutlv.TagReceiptedMessageID)
	_, state := f.TLV(pdutlv.TagMessageStateOption)
	return named || state
}

// parseReceipt reads a receipt: its parameters first, its text for what they lack.
func (r *Route) parseReceipt(f wire.Fields) channel.ProviderReceipt {
	raw := f.Bytes(pdufield.ShortMessage)
	if payload, ok := f.TLV(pdutlv.TagMessagePayload); ok && len(raw) == 0 {
		raw = payload
	}
	t := parseReceiptText(receiptString(raw, f.Byte(pdufield.DataCoding)), r.o.Location)

	p := channel.ProviderReceipt{
		Route:       r.o.Name,
		ProviderID:  f.TLVText(pdutlv.TagReceiptedMessageID),
		Destination: reportedAddress(f, pdufield.SourceAddr, pdufield.SourceAddrTON),
		Sender:      reportedAddress(f, pdufield.DestinationAddr, pdufield.DestAddrTON),
		OccurredAt:  t.done, OccurredWithin: t.within,
		ReceivedAt: r.o.Now().UTC(),
	}
	if p.ProviderID == "" {
		p.ProviderID = t.id
	}
	state := stateNames[t.stat]
	if v, ok := f.TLV(pdutlv.TagMessageStateOption); ok && len(v) > 0 && v[0] >= wire.StateEnroute && v[0] <= wire.StateSkipped {
		state = v[0]
	}
	if f.Byte(pdufield.ESMClass)&wire.ESMTypeMask != wire.ESMIntermediate {
		p.Status = receiptStatus(state)
	}
	if p.Code = networkError(f); p.Code == "" && strings.Trim(t.err, "0") != "" {
		p.Code = t.err
	}
	if p.Code == "" {
		p.Code = stateCodes[state]
	}
	if r.o.SendReference {
		p.Reference = f.TLVText(wire.TagReference)
		if part, ok := f.TLV(wire.TagPart); ok && len(part) == 1 {
			p.Unit = int(part[0])
		}
	}
	return p
}

// reportedAddress is an address of a receipt. It has a + only if the provider declares it
// international: other digits may be a national number.
func reportedAddress(f wire.Fields, addr, ton pdufield.Name) string {
	text := f.Text(addr)
	if f.Byte(ton) == tonInternational && isDigits(text) {
		return "+" + text
	}
	return text
}

// networkError is the network's error, "network type/code" (SMPP 3.4, 5.3.2.31);
// empty if there is none.
func networkError(f wire.Fields) string {
	v, ok := f.TLV(pdutlv.TagNetworkErrorCode)
	if !ok || len(v) != 3 || (v[1] == 0 && v[2] == 0) {
		return ""
	}
	return fmt.Sprintf("%d/%d", v[0], int(v[1])<<8|int(v[2]))
}

// receiptString is the text of a receipt; only its ASCII matters.
func receiptString(raw []byte, coding byte) string {
	if coding != wire.CodingUCS2 {
		return string(raw)
	}
	var b strings.Builder
	for i := 0; i+1 < len(raw); i += 2 {
		if raw[i] == 0 && raw[i+1] < 0x80 {
			b.WriteByte(raw[i+1])
		} else {
			b.WriteByte('?')
		}
	}
	return b.String()
}
