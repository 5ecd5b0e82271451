// Package smpp is a route to an SMSC over SMPP 3.4: a commands.Channel that sends
// texts and hands receipts to a commands.ReceiptSink.
//
// A Route promises:
//   - a Send puts a unit on the wire at most once, and only right after its fence allowed it;
//   - what happened to each part is reported; a lost session is UnitLost at once, an
//     response that comes after Send returned is reported through late;
//   - the provider's receipt is acknowledged only after the sink took it; on an error
//     it is refused as temporary, and the provider sends it again;
//   - it binds again by itself, and backs off when the provider throttles;
//   - no destination and no text is ever logged or put in an error.
//
// It does not promise that a receipt comes, that it comes once, or in order.
//
// The parts of a long text travel on one bind. The first goes alone, and the others
// follow once it was accepted: a refusal (a throttled provider, a bad number) then
// leaves nothing on the wire. The parts carry one reference, made from the attempt's, so
// that parts sent by a later call still belong together. Every message of the person to us (mobile originated)
// is refused for good: nothing takes them.
package smpp
