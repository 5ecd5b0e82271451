package rest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"recapito/commands/channel"
)

// codesVersion changes with every change of the table's classes.
const codesVersion = "1"

// Codes of ours.
const (
	CodePrivateAddress = "private_address"
	CodeURL            = "url_refused"
	CodeHeader         = "header_refused"
	CodeBody           = "body_refused"
	CodeNotAccepted    = "not_accepted"
)

// codePrefix is before the HTTP status in a code.
const codePrefix = "http_"

// statusClass returns the class of an HTTP status where a route sets nothing else.
func statusClass(status int) string {
	switch status {
	case http.StatusTooManyRequests:
		return classBusy
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return classTransient
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return classUnknown
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return classPermanent
	}
	switch {
	case status >= 200 && status < 300:
		return classAccepted
	case status >= 500:
		return classTransient
	}
	return classPermanent
}

func statusCode(status int) string { return codePrefix + strconv.Itoa(status) }

// meanings of the HTTP statuses that refuse a message.
var meanings = map[int]string{
	301: "The service redirects; a redirect is not followed.", 302: "The service redirects; a redirect is not followed.",
	303: "The service redirects; a redirect is not followed.", 307: "The service redirects; a redirect is not followed.",
	308: "The service redirects; a redirect is not followed.",
	400: "The service cannot read the request.", 401: "The service does not accept the route's credentials.",
	402: "The service asks for a payment.", 403: "The service does not allow the request.", 404: "The service does not know the URL or the address.",
	405: "The service does not take the method.", 406: "The service has no response of a form that was asked for.",
	407: "A proxy does not accept the route's credentials.", 408: "The service did not receive the request in time.",
	409: "The request contradicts the service's state.", 410: "The address or the URL is gone.", 411: "The service needs a length.",
	412: "A precondition of the request does not hold.", 413: "The request is too large for the service.",
	414: "The URL is too long for the service.", 415: "The service does not take the media type.",
	421: "The request went to a server that does not serve it.", 422: "The service refuses what the request holds.",
	423: "The resource is locked.", 424: "Another request that this one depends on failed.", 425: "The service does not take the request so early.",
	428: "The service needs a precondition.", 429: "The service is given too much at once.", 431: "The request's headers are too large.",
	451: "The service refuses for legal reasons.",
	500: "The service failed.", 501: "The service does not know the method.", 502: "A gateway has no valid response of the service: the message may have been taken.",
	503: "The service is not available.", 504: "A gateway has no response of the service in time: the message may have been taken.",
	505: "The service does not speak HTTP/1.1.", 507: "The service has no space left.", 508: "The service found a loop.", 511: "A network asks to log in.",
}

var ownCodes = []channel.Code{
	{Code: CodeBody, Meaning: "The body cannot be made of this message, or is no JSON.", Class: channel.Permanent},
	{Code: CodeHeader, Meaning: "A header cannot be made of this message.", Class: channel.Permanent},
	{Code: CodeNotAccepted, Meaning: "The response does not hold what an accepted message's has.", Class: channel.Permanent},
	{Code: CodePrivateAddress, Meaning: "The URL leads into a private network that the operator does not allow.", Class: channel.Permanent},
	{Code: CodeURL, Meaning: "The URL cannot be made of this message.", Class: channel.Permanent},
}

// channelClass is a class as the table of codes names it. Unknown outcomes are no
// refusals; their class counts only if a caller asks for the code alone.
func channelClass(class string) channel.Class {
	switch class {
	case classBusy:
		return channel.Busy
	case classTransient, classUnknown:
		return channel.Transient
	}
	return channel.Permanent
}

func listCodes() []channel.Code {
	all := slices.Clone(ownCodes)
	for status, meaning := range meanings {
		all = append(all, channel.Code{Code: statusCode(status), Meaning: meaning, Class: channelClass(statusClass(status))})
	}
	slices.SortFunc(all, func(a, b channel.Code) int { return strings.Compare(a.Code, b.Code) })
	return all
}

// lookupCode returns what a code means. An HTTP status that is not in the table has the
// class of its hundred; a service's own code is permanent.
func lookupCode(code string) (channel.Code, bool) {
	if i := slices.IndexFunc(ownCodes, func(c channel.Code) bool { return c.Code == code }); i >= 0 {
		return ownCodes[i], true
	}
	if digits, ok := strings.CutPrefix(code, codePrefix); ok {
		if status, err := strconv.Atoi(digits); err == nil && len(digits) == 3 {
			meaning, known := meanings[status]
			return channel.Code{Code: code, Meaning: meaning, Class: channelClass(statusClass(status))}, known
		}
	}
	return channel.Code{Code: code, Class: channel.Permanent}, false
}
