package readmodels

import (
	"maps"
	"slices"
	"strings"
)

// errorTexts are the meanings of the codes of failed attempts: our own, the
// states of receipts and the command_status of SMPP 3.4 (5.1.3). What providers write
// with a code is never kept: it may quote the message or its destination.
var errorTexts = map[string]string{
	// Ours, of an attempt that failed.
	"not_sent":            "dropped by its worker before the wire",
	"refused":             "refused by the provider without a code",
	"partial":             "accepted in part only",
	"receipt":             "reported undelivered without a code",
	"erased":              "the person is erased",
	"invalid_message":     "the message cannot be sent over this route",
	"invalid_sender":      "the sender is neither a number nor a name of at most 11 characters",
	"invalid_destination": "the destination is not an E.164 number",
	"text_too_long":       "the text has more parts than the route takes",

	// Ours, of an outcome that cannot be known.
	"no_answer":  "the provider did not respond",
	"wire_limit": "its worker did not record an outcome in time",

	// Ours, of an attempt that was withdrawn.
	"wanted_reached": "what the step wanted was reached before",
	"cancelled":      "the notification was cancelled",
	"expired":        "the notification expired",
	"patience":       "its route took nothing for as long as it may wait",
	"first_sent":     "the attempt before it was sent after all",

	// States of a receipt that has no error code.
	"EXPIRED": "not delivered within its validity",
	"DELETED": "deleted by the provider",
	"UNDELIV": "undeliverable",
	"REJECTD": "rejected by the network",

	// SMPP 3.4.
	"0x00000001": "message length is invalid (ESME_RINVMSGLEN)",
	"0x00000002": "command length is invalid (ESME_RINVCMDLEN)",
	"0x00000003": "invalid command id (ESME_RINVCMDID)",
	"0x00000004": "incorrect bind status for the command (ESME_RINVBNDSTS)",
	"0x00000005": "already in bound state (ESME_RALYBND)",
	"0x00000006": "invalid priority flag (ESME_RINVPRTFLG)",
	"0x00000007": "invalid registered delivery flag (ESME_RINVREGDLVFLG)",
	"0x00000008": "system error of the provider (ESME_RSYSERR)",
	"0x0000000A": "invalid source address (ESME_RINVSRCADR)",
	"0x0000000B": "invalid destination address (ESME_RINVDSTADR)",
	"0x0000000C": "message id is invalid (ESME_RINVMSGID)",
	"0x0000000D": "bind failed (ESME_RBINDFAIL)",
	"0x0000000E": "invalid password (ESME_RINVPASWD)",
	"0x0000000F": "invalid system id (ESME_RINVSYSID)",
	"0x00000011": "cancelling the message failed (ESME_RCANCELFAIL)",
	"0x00000013": "replacing the message failed (ESME_RREPLACEFAIL)",
	"0x00000014": "the provider's queue is full (ESME_RMSGQFUL)",
	"0x00000015": "invalid service type (ESME_RINVSERTYP)",
	"0x00000033": "invalid number of destinations (ESME_RINVNUMDESTS)",
	"0x00000034": "invalid distribution list name (ESME_RINVDLNAME)",
	"0x00000040": "destination flag is invalid (ESME_RINVDESTFLAG)",
	"0x00000042": "submit with replace is not possible (ESME_RINVSUBREP)",
	"0x00000043": "invalid esm_class (ESME_RINVESMCLASS)",
	"0x00000044": "cannot submit to the distribution list (ESME_RCNTSUBDL)",
	"0x00000045": "submitting failed (ESME_RSUBMITFAIL)",
	"0x00000048": "invalid source address TON (ESME_RINVSRCTON)",
	"0x00000049": "invalid source address NPI (ESME_RINVSRCNPI)",
	"0x00000050": "invalid destination address TON (ESME_RINVDSTTON)",
	"0x00000051": "invalid destination address NPI (ESME_RINVDSTNPI)",
	"0x00000053": "invalid system type (ESME_RINVSYSTYP)",
	"0x00000054": "invalid replace_if_present flag (ESME_RINVREPFLAG)",
	"0x00000055": "invalid number of messages (ESME_RINVNUMMSGS)",
	"0x00000058": "throttled: more messages than allowed (ESME_RTHROTTLED)",
	"0x00000061": "invalid scheduled delivery time (ESME_RINVSCHED)",
	"0x00000062": "invalid validity period (ESME_RINVEXPIRY)",
	"0x00000063": "predefined message is invalid or not found (ESME_RINVDFTMSGID)",
	"0x00000064": "temporary error of the receiving application (ESME_RX_T_APPN)",
	"0x00000065": "permanent error of the receiving application (ESME_RX_P_APPN)",
	"0x00000066": "rejected by the receiving application (ESME_RX_R_APPN)",
	"0x00000067": "query failed (ESME_RQUERYFAIL)",
	"0x000000C0": "error in the optional parameters (ESME_RINVOPTPARSTREAM)",
	"0x000000C1": "optional parameter is not allowed (ESME_ROPTPARNOTALLWD)",
	"0x000000C2": "invalid parameter length (ESME_RINVPARLEN)",
	"0x000000C3": "an optional parameter is missing (ESME_RMISSINGOPTPARAM)",
	"0x000000C4": "invalid value of an optional parameter (ESME_RINVOPTPARAMVAL)",
	"0x000000FE": "delivery failed (ESME_RDELIVERYFAILURE)",
	"0x000000FF": "unknown error (ESME_RUNKNOWNERR)",
}

// otherCode is the text of every other code.
const otherCode = "a code of the provider's own"

// ErrorText is what the code of an attempt of that status means; empty where nothing
// went wrong, or there is no code.
func ErrorText(status, code string) string {
	if code == "" || status != "undelivered" && status != "outcome_unknown" && status != "withdrawn" {
		return ""
	}
	if text, known := errorTexts[code]; known {
		return text
	}
	return otherCode
}

// errorLists are the codes and their texts as ClickHouse's transform takes them.
func errorLists() (codes, texts string) {
	var c, t []string
	for _, code := range slices.Sorted(maps.Keys(errorTexts)) {
		c, t = append(c, literal(code)), append(t, literal(errorTexts[code]))
	}
	return "[" + strings.Join(c, ", ") + "]", "[" + strings.Join(t, ", ") + "]"
}
