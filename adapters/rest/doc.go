// Package rest is the channel of custom HTTP services: a route calls a URL for each
// message, and the service reports what became of it, and what persons reply, by calling
// back. The request and the reading of responses and callbacks are settings, so a service
// needs no code of its own.
//
// A Route promises:
//   - a Send hands its request to a connection at most once, right after its fence allowed
//     it: there are no transparent retries and no redirects;
//   - a message of which not one byte was handed to a connection is UnitNotSent; one whose
//     response did not come, or came from a gateway without the service's own (502, 504),
//     is UnitLost; a response that comes after Send returned goes to late;
//   - values are escaped for the place where they stand, and private networks are not
//     connected to unless the operator allows them (commands/channel/netguard);
//   - the response to a callback is 2xx only after everything in it was stored by the sinks, and
//     only its caller's secret opens it;
//   - no address, no content, no secret and no value that a service sent is ever logged
//     or put in an error.
//
// It does not promise that a callback comes, that it comes once, or in order. HTTP/1.1 is
// spoken, because only there can it be known that nothing of a request was written.
package rest
