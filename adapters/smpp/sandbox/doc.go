// Package sandbox is an SMSC to try things on: the provider's side of SMPP 3.4 as a
// process of its own, with settable rate, latency, receipts and failures, and a
// durable journal of what reached it.
//
// It promises:
//   - a submit_sm is in the journal, fsynced, before its response is sent and before its
//     receipt is due; so what an ESME received survives kill -9, and pending receipts
//     are sent after a restart;
//   - a receipt is sent until the ESME acknowledges it, on whatever session of it is
//     bound; only Mix.LoseReceipt makes one never come;
//   - with the same Seed and the same order of messages, the same verdicts;
//   - neither its files nor its logs hold a number or a text in clear. The journal
//     holds keyed hashes (HMAC-SHA-256) of them, and for a receipt's sake both
//     addresses, encrypted (AES-256-GCM). The keys derive from the file smsc.key
//     (0600) next to the journal: who holds both files can read the addresses, and
//     can test guesses of texts. Delete the folder to forget them.
//
// Not promised: that a receipt comes only once. The journal only grows: it is the
// record that tests compare with, about 400 bytes a message.
package sandbox
