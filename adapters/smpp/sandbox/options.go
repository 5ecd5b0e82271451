package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Limits and defaults of the simulator.
const (
	// MaxPending is how many receipts may wait; over it messages are refused as
	// "queue full".
	MaxPending = 1_000_000
	// MaxSessions is how many connections are served at once.
	MaxSessions = 256
	// receiptWindow is how many receipts wait for their answer on one session.
	receiptWindow = 256

	bindTimeout   = 10 * time.Second
	idleTimeout   = 5 * time.Minute
	writeTimeout  = 10 * time.Second
	unbindTimeout = time.Second

	DefaultReceiptRetryMin = time.Second
	DefaultReceiptRetryMax = time.Minute
	DefaultAnswerTimeout   = 10 * time.Second
)

// IDForm is how a message id is written.
type IDForm string

// The forms that providers use, often one in the answer and another in the receipt.
const (
	FormDecimal IDForm = "decimal"
	FormHex     IDForm = "hex" // 8 digits or more, upper case
)

func (f IDForm) write(n uint64) string {
	if f == FormHex {
		return fmt.Sprintf("%08X", n)
	}
	return fmt.Sprintf("%d", n)
}

// Behaviour is what may be changed while the simulator runs.
type Behaviour struct {
	// Rate is how many messages a second are taken, 0 = unlimited. Over it they are
	// refused with ESME_RTHROTTLED.
	Rate float64
	// Latency is the time from a submit_sm to its answer.
	Latency time.Duration
	// A receipt is due ReceiptDelay after the answer, plus at most ReceiptSpread.
	ReceiptDelay  time.Duration
	ReceiptSpread time.Duration
	Mix           Mix
}

// Mix is how often things go wrong, as probabilities. The first three exclude each
// other and all the rest.
type Mix struct {
	RefusePermanently float64 // ESME_RINVDSTADR
	RefuseTransiently float64 // ESME_RSYSERR
	Throttle          float64 // ESME_RTHROTTLED, whatever the rate
	Undelivered       float64 // the receipt has UNDELIV
	LoseAnswer        float64 // the submit_sm never gets a response
	LoseReceipt       float64 // the receipt never comes
	DuplicateReceipt  float64 // the receipt comes twice
	ReceiptFirst      float64 // the receipt comes before the answer
}

// Options are the simulator's settings. Zero values are sane, but Dir must be set.
type Options struct {
	// Dir holds the journal and its key, and is locked while the simulator lives.
	Dir string
	// Addr to listen on, 127.0.0.1:2775 if empty.
	Addr string
	// SystemID and Password that a bind must have; any if SystemID is empty.
	SystemID string
	Password string

	Behaviour

	AnswerIDs  IDForm // form of the id in submit_sm_resp; decimal if empty
	ReceiptIDs IDForm // form of the id in receipts; decimal if empty
	// OmitText and OmitTLVs leave out one of the two ways a receipt names its message;
	// not both.
	OmitText bool
	OmitTLVs bool
	// EchoReference puts the reference and the part of the submit_sm in its receipt.
	EchoReference bool
	// Seed of the verdicts.
	Seed uint64

	// A refused receipt is sent again after these, doubled each time.
	ReceiptRetryMin time.Duration
	ReceiptRetryMax time.Duration
	// AnswerTimeout is how long a receipt's answer is waited for.
	AnswerTimeout time.Duration

	Logger *slog.Logger
	Now    func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:2775"
	}
	if o.AnswerIDs == "" {
		o.AnswerIDs = FormDecimal
	}
	if o.ReceiptIDs == "" {
		o.ReceiptIDs = FormDecimal
	}
	if o.ReceiptRetryMin == 0 {
		o.ReceiptRetryMin = DefaultReceiptRetryMin
	}
	if o.ReceiptRetryMax == 0 {
		o.ReceiptRetryMax = max(o.ReceiptRetryMin, DefaultReceiptRetryMax)
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = DefaultAnswerTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// validate joins every problem.
func (o Options) validate() error {
	problems := []error{o.Behaviour.validate()}
	if o.Dir == "" {
		problems = append(problems, errors.New("smsc: no folder for the journal"))
	}
	for _, f := range []IDForm{o.AnswerIDs, o.ReceiptIDs} {
		if f != FormDecimal && f != FormHex {
			problems = append(problems, fmt.Errorf("smsc: unknown form of ids %q", f))
		}
	}
	if o.OmitText && o.OmitTLVs {
		problems = append(problems, errors.New("smsc: a receipt without text and TLVs names no message"))
	}
	if o.ReceiptRetryMin < 0 || o.ReceiptRetryMax < o.ReceiptRetryMin || o.AnswerTimeout < 0 {
		problems = append(problems, errors.New("smsc: receipt times out of order"))
	}
	return errors.Join(problems...)
}

func (b Behaviour) validate() error {
	var problems []error
	if b.Rate < 0 || b.Latency < 0 || b.ReceiptDelay < 0 || b.ReceiptSpread < 0 {
		problems = append(problems, errors.New("smsc: a rate or time is negative"))
	}
	m := b.Mix
	for _, p := range []float64{m.RefusePermanently, m.RefuseTransiently, m.Undelivered, m.LoseAnswer, m.LoseReceipt,
		m.DuplicateReceipt, m.ReceiptFirst, m.Throttle, m.RefusePermanently + m.RefuseTransiently + m.Throttle} {
		if !(p >= 0 && p <= 1) {
			problems = append(problems, errors.New("smsc: a probability is not within 0..1"))
			break
		}
	}
	return errors.Join(problems...)
}
