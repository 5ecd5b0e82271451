package smtp

import (
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/emersion/go-smtp"

	"recapito/commands/channel"
	"recapito/domain/notification"
)

// Codes of our own, of messages that no host judged.
const (
	CodeInvalidContent     = "invalid_content"
	CodeInvalidSender      = "invalid_sender"
	CodeInvalidDestination = "invalid_destination"
	CodeInvalidReference   = "invalid_reference"
	CodeNoSMTPUTF8         = "smtputf8_not_offered"
	CodeConnectionLost     = "connection_lost"
)

var codes = channel.Codes{Version: "1", Lookup: lookup, List: list}

var ownCodes = []channel.Code{
	{Code: CodeInvalidContent, Meaning: "the content breaks a rule of e-mail", Class: channel.Permanent},
	{Code: CodeInvalidSender, Meaning: "the sender is no mailbox", Class: channel.Permanent},
	{Code: CodeInvalidDestination, Meaning: "the destination is no mailbox", Class: channel.Permanent},
	{Code: CodeInvalidReference, Meaning: "the message names no attempt", Class: channel.Permanent},
	{Code: CodeNoSMTPUTF8, Meaning: "a mailbox is not ASCII and no host takes such", Class: channel.Permanent},
	{Code: CodeConnectionLost, Meaning: "the connection was lost within the content, before its end", Class: channel.Transient},
}

// replies are the reply codes of RFC 5321 section 4.2.3, RFC 4954 and RFC 7504, for hosts
// without enhanced codes.
var replies = []channel.Code{
	{Code: "421", Meaning: "the service is not available", Class: channel.Busy},
	{Code: "432", Meaning: "the password must be changed first", Class: channel.Transient},
	{Code: "450", Meaning: "the mailbox is busy", Class: channel.Transient},
	{Code: "451", Meaning: "a local error in processing", Class: channel.Transient},
	{Code: "452", Meaning: "there is not enough storage", Class: channel.Busy},
	{Code: "454", Meaning: "TLS or authentication is not available for now", Class: channel.Transient},
	{Code: "455", Meaning: "the parameters cannot be accommodated", Class: channel.Transient},
	{Code: "500", Meaning: "the command is not recognised", Class: channel.Permanent},
	{Code: "501", Meaning: "a syntax error in parameters", Class: channel.Permanent},
	{Code: "502", Meaning: "the command is not implemented", Class: channel.Permanent},
	{Code: "503", Meaning: "a bad sequence of commands", Class: channel.Permanent},
	{Code: "504", Meaning: "the parameter is not implemented", Class: channel.Permanent},
	{Code: "521", Meaning: "the host takes no mail", Class: channel.Permanent},
	{Code: "530", Meaning: "authentication is required", Class: channel.Permanent},
	{Code: "534", Meaning: "the authentication mechanism is too weak", Class: channel.Permanent},
	{Code: "535", Meaning: "authentication failed", Class: channel.Permanent},
	{Code: "538", Meaning: "the authentication mechanism needs encryption", Class: channel.Permanent},
	{Code: "550", Meaning: "the mailbox is not available", Class: channel.Permanent},
	{Code: "551", Meaning: "the user is not local", Class: channel.Permanent},
	{Code: "552", Meaning: "the storage allocation is exceeded", Class: channel.Permanent},
	{Code: "553", Meaning: "the mailbox's name is not allowed", Class: channel.Permanent},
	{Code: "554", Meaning: "the transaction failed", Class: channel.Permanent},
	{Code: "555", Meaning: "the parameters are not known", Class: channel.Permanent},
	{Code: "556", Meaning: "the domain takes no mail", Class: channel.Permanent},
}

// details are the subjects and details of RFC 3463 and of the registry of RFC 5248. Each
// occurs with the classes 4 and 5.
var details = []struct{ code, meaning string }{
	{"0.0", "an undefined status"},
	{"1.0", "an undefined status of the address"},
	{"1.1", "the destination mailbox does not exist"},
	{"1.2", "the destination's domain does not exist"},
	{"1.3", "the destination's syntax is wrong"},
	{"1.4", "the destination is ambiguous"},
	{"1.6", "the destination has moved"},
	{"1.7", "the sender's syntax is wrong"},
	{"1.8", "the sender's domain does not exist"},
	{"1.9", "the message was relayed to a host that does not understand it"},
	{"1.10", "the destination's domain takes no mail"},
	{"2.0", "an undefined status of the mailbox"},
	{"2.1", "the mailbox is disabled"},
	{"2.2", "the mailbox is full"},
	{"2.3", "the message is too long for the mailbox"},
	{"2.4", "the mailing list could not be expanded"},
	{"3.0", "an undefined status of the mail system"},
	{"3.1", "the mail system is full"},
	{"3.2", "the system takes no messages"},
	{"3.3", "the system lacks a feature"},
	{"3.4", "the message is too big for the system"},
	{"3.5", "the system is configured wrongly"},
	{"3.6", "the requested priority was changed"},
	{"4.0", "an undefined status of the network or routing"},
	{"4.1", "the next host gives no answer"},
	{"4.2", "the connection is bad"},
	{"4.3", "the directory server failed"},
	{"4.4", "the message cannot be routed"},
	{"4.5", "the mail system is congested"},
	{"4.6", "a routing loop"},
	{"4.7", "the delivery time has expired"},
	{"5.0", "an undefined status of the protocol"},
	{"5.1", "an invalid command"},
	{"5.2", "a syntax error"},
	{"5.3", "there are too many recipients"},
	{"5.4", "invalid arguments"},
	{"5.5", "a wrong version of the protocol"},
	{"5.6", "an authentication exchange line is too long"},
	{"6.0", "an undefined status of the content"},
	{"6.1", "the media type is not supported"},
	{"6.2", "a conversion is required and prohibited"},
	{"6.3", "a conversion is required and not supported"},
	{"6.4", "a conversion lost something"},
	{"6.5", "a conversion failed"},
	{"6.6", "the content is not available"},
	{"6.7", "a mailbox is not ASCII, and the host does not take such"},
	{"6.8", "an answer in UTF-8 is required and not permitted"},
	{"6.9", "a header in UTF-8 is not permitted"},
	{"7.0", "refused by policy"},
	{"7.1", "delivery is not authorised: refused by policy"},
	{"7.2", "the mailing list does not take the sender"},
	{"7.3", "a conversion for security is not possible"},
	{"7.4", "a security feature is not supported"},
	{"7.5", "a failure of cryptography"},
	{"7.6", "an algorithm of cryptography is not supported"},
	{"7.7", "the message's integrity failed"},
	{"7.8", "the credentials are invalid"},
	{"7.9", "the authentication mechanism is too weak"},
	{"7.10", "encryption is needed"},
	{"7.11", "encryption is required for the authentication mechanism"},
	{"7.12", "a password transition is needed"},
	{"7.13", "the account is disabled"},
	{"7.14", "a trust relationship is required"},
	{"7.15", "the priority is too low"},
	{"7.16", "the message is too big for its priority"},
	{"7.17", "the mailbox's owner has changed"},
	{"7.18", "the domain's owner has changed"},
	{"7.19", "RRVS cannot be completed"},
	{"7.20", "there is no passing DKIM signature"},
	{"7.21", "there is no acceptable DKIM signature"},
	{"7.22", "there is no valid DKIM signature of the author"},
	{"7.23", "SPF validation failed"},
	{"7.24", "SPF validation had an error"},
	{"7.25", "the host's reverse DNS is wrong"},
	{"7.26", "several checks of authentication failed"},
	{"7.27", "the sender's domain takes no mail"},
	{"7.28", "a flood of messages"},
	{"7.29", "ARC validation failed"},
	{"7.30", "REQUIRETLS is not supported"},
}

// busy are the enhanced codes that judge the load and not the message.
var busy = []string{"4.3.1", "4.3.2", "4.4.5", "4.7.28"}

var table = func() map[string]channel.Code {
	m := map[string]channel.Code{}
	for _, c := range ownCodes {
		m[c.Code] = c
	}
	for _, c := range replies {
		m[c.Code] = c
	}
	for _, d := range details {
		m["4."+d.code] = channel.Code{Code: "4." + d.code, Meaning: d.meaning, Class: channel.Transient}
		m["5."+d.code] = channel.Code{Code: "5." + d.code, Meaning: d.meaning, Class: channel.Permanent}
	}
	for _, code := range busy {
		c := m[code]
		c.Class = channel.Busy
		m[code] = c
	}
	return m
}()

// lookup gives a code that is not known the class of its first digit (RFC 3463 section 3,
// RFC 5321 section 4.2.1), and the class transient where that is neither 4 nor 5.
func lookup(code string) (channel.Code, bool) {
	if c, ok := table[code]; ok {
		return c, true
	}
	class := channel.Transient
	if strings.HasPrefix(code, "5") {
		class = channel.Permanent
	}
	return channel.Code{Code: code, Meaning: "a code that is not known", Class: class}, false
}

func list() []channel.Code {
	all := append([]channel.Code(nil), ownCodes...)
	all = append(all, replies...)
	for _, class := range []string{"4.", "5."} {
		for _, d := range details {
			all = append(all, table[class+d.code])
		}
	}
	return all
}

// maxDetail is the greatest subject or detail of an enhanced code (RFC 3463 section 2).
const maxDetail = 999

// codeOf returns the code of a host's answer: the enhanced one if it has one of the same
// class, else the reply code.
func codeOf(e *smtp.SMTPError) string {
	c := e.EnhancedCode
	if c[0] == e.Code/100 && c[1] >= 0 && c[1] <= maxDetail && c[2] >= 0 && c[2] <= maxDetail {
		return fmt.Sprintf("%d.%d.%d", c[0], c[1], c[2])
	}
	return strconv.Itoa(e.Code)
}

// judge returns the fate of a message that a host refused.
func judge(e *smtp.SMTPError) notification.UnitOutcome {
	code := codeOf(e)
	c, _ := lookup(code)
	isBusy := c.Class == channel.Busy || c.Class == channel.Transient && e.Code == replyUnavailable
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: code, Transient: c.Class != channel.Permanent, Busy: isBusy}
}

const replyUnavailable = 421

// ofHost reports whether a refusal concerns the host and not the message.
func ofHost(e *smtp.SMTPError) bool {
	return e.Code == replyUnavailable || e.Code/100 == 4 && e.EnhancedCode[0] == 4 && e.EnhancedCode[1] == 3
}

// quiet returns an error without the server's text, which may hold a mailbox.
func quiet(err error) error {
	var refused *smtp.SMTPError
	if errors.As(err, &refused) {
		return fmt.Errorf("refused with %s", codeOf(refused))
	}
	var malformed textproto.ProtocolError
	if errors.As(err, &malformed) {
		return errors.New("a malformed answer")
	}
	return err
}
