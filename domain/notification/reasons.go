package notification

// The reasons that events record, a type for each event that has some. Their values are
// the storage format.

// UndeliveredReason is why an attempt failed.
type UndeliveredReason string

// Why an attempt failed.
const (
	UndeliveredRefused   UndeliveredReason = "refused"  // by the provider
	UndeliveredNotSent   UndeliveredReason = "not_sent" // dropped before the wire
	UndeliveredPartial   UndeliveredReason = "partial"  // refused or dropped, and some unit was accepted or may have been
	UndeliveredByReceipt UndeliveredReason = "receipt"  // reported so
)

// CodeNotSent is the code of an attempt that its worker dropped before the wire.
const CodeNotSent = string(UndeliveredNotSent)

// UnknownReason is why an outcome is unknown.
type UnknownReason string

// Why an outcome is unknown.
const (
	UnknownNoAnswer  UnknownReason = "no_answer"
	UnknownWireLimit UnknownReason = "wire_limit"
)

// WithdrawnReason is why a scheduled attempt will never be sent.
type WithdrawnReason string

// Why a scheduled attempt is withdrawn.
const (
	WithdrawnWantedReached WithdrawnReason = "wanted_reached"
	WithdrawnCancelled     WithdrawnReason = "cancelled"
	WithdrawnExpired       WithdrawnReason = "expired"
	WithdrawnPatience      WithdrawnReason = "patience"
	WithdrawnFirstSent     WithdrawnReason = "first_sent" // the attempt that it follows was sent after all
	WithdrawnSuppressed    WithdrawnReason = "suppressed" // the person's consent was withdrawn
)

// KeptReason is why a receipt was kept without raising the status.
type KeptReason string

// Why a receipt is kept.
const (
	KeptUnit         KeptReason = "unit"         // the attempt waits for its other units
	KeptWaits        KeptReason = "waits"        // undelivered, while the attempt's own result is not known yet
	KeptDouble       KeptReason = "double"       // reports what is known
	KeptContradicts  KeptReason = "contradicts"  // reports less than what is known
	KeptIntermediate KeptReason = "intermediate" // not final
	KeptNoSuchUnit   KeptReason = "no_such_unit"
	KeptNotSent      KeptReason = "not_sent" // of an attempt that never was on the wire
)

// RetriedReason is why an attempt is followed by another one to the same target.
type RetriedReason string

// Why an attempt is followed.
const (
	RetriedFailed RetriedReason = "failed" // for now; its code is recorded too
	RetriedResend RetriedReason = "resend" // its outcome is unknown, and it is sent again
)

// FailedOverReason is why a step is followed by the next one.
type FailedOverReason string

// FailedOverAllFailed: every attempt of the step failed.
const FailedOverAllFailed FailedOverReason = "all_failed"
