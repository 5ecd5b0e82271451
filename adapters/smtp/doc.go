// Package smtp is the channel "email": a route sends mail through one or more smart hosts
// by SMTP (RFC 5321). It sends only; what comes back (delivery status notifications,
// read notices, bounces) is not received here.
//
// A Route promises:
//   - a Send puts its message on the wire at most once. Before the final dot of DATA nothing is
//     accepted (RFC 5321 section 4.1.1.4), so the next host is tried only before the first
//     byte of the content; from the dot on a missing answer is notification.UnitLost, and no
//     other host is tried;
//   - the fence is checked before MAIL and again before the dot;
//   - an answer that comes after Send returned is given to late, while the route runs and
//     submission_timeout is not over;
//   - a host that fails is left out until a connection to it succeeds again; the waits
//     between the tries double, with jitter;
//   - a line break in a subject, a sender, a reply-to or an attachment's name is refused;
//   - no mailbox, no content and no text of a server is logged or put in an error: of a
//     server's answer only the code is kept.
//
// It does not promise that mail arrives: a smart host that accepted a message reports
// later, or never.
//
// Libraries: go-mail builds the MIME parts, because quoting, folding and encoded words are
// easily wrong; go-smtp speaks the protocol and knows DSN; go-msgauth signs DKIM.
package smtp
