// Package wire is what both sides of an SMPP 3.4 connection share: framing with a
// bound on every PDU, a session that correlates responses, and the names of the
// protocol that the codec lacks. The encoding of the fields is go-smpp's.
//
// A Session promises:
//   - a response is matched by sequence number and by the kind of PDU of its request, so
//     that a request of the peer that carries the number of one of ours is never
//     taken for its answer;
//   - every request that went out gets exactly one outcome: the peer's answer, or
//     the error that ended the session, or (after Forget) none;
//   - every read and every write has a deadline; a peer that stops reading or
//     stays silent ends the session, not the caller;
//   - a PDU that is malformed, too long or unknown gets a response and is skipped as long
//     as its length can be trusted.
//
// It does not retry, reconnect, or know what a message is.
package wire
