package notification_test

import (
	"testing"
	"time"

	"recapito/domain/dimension"
	"recapito/domain/domaintest"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/receipt"
)

// Short names for what the examples repeat.
type (
	command = notification.Command
	happens = notification.Event
	example = domaintest.Example[notification.State, notification.Command, notification.Event]
)

const (
	scheduled   = notification.Scheduled
	dispatched  = notification.Dispatched
	unknown     = notification.OutcomeUnknown
	sent        = notification.Sent
	undelivered = notification.Undelivered
	delivered   = notification.Delivered
	read        = notification.Read

	wait       = time.Hour // of every step
	wireLimit  = 30 * time.Second
	patience   = 2 * time.Hour
	unknownFor = 3 * time.Hour
	s          = time.Second
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ada    = personal.Ref{Person: "person-1", Key: "key-1"}
	number = personal.New(ada, "+390000000001")
	text   = personal.New(ada, "Dear Ada")
)

// at is the time so long after noon, when everything begins.
func at(d time.Duration) time.Time { return noon.Add(d) }

func given(t *testing.T, commands ...command) example {
	t.Helper()
	return domaintest.For(t, notification.Decider).After(commands...)
}

// planned is a notification with these steps, its first one scheduled at noon.
func planned(t *testing.T, steps ...notification.Step) example {
	t.Helper()
	return given(t, request(), enrich(steps...))
}

func request(change ...func(*notification.Request)) notification.Request {
	r := notification.Request{
		OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "1", Brand: "acme", Segment: "care", Campaign: "spring", Priority: "normal"},
		Tenant:         "acme", Person: ada, To: map[string][]personal.Value{"sms": {number}}, RequestHMAC: []byte{1, 2, 3}, At: noon,
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func expiresAt(d time.Duration) func(*notification.Request) {
	return func(r *notification.Request) { r.ExpiresAt = at(d) }
}

func enrich(steps ...notification.Step) notification.Enrich {
	return notification.Enrich{Scenario: "appointment", Version: "1", Plan: notification.Plan{Steps: steps}, At: noon}
}

func step(wanted notification.Status, targets ...notification.Target) notification.Step {
	return notification.Step{Wanted: wanted, Wait: notification.Duration(wait), Targets: targets}
}

func target(change ...func(*notification.Target)) notification.Target {
	to := notification.Target{
		OfAttempt:   dimension.OfAttempt{Channel: "sms", Route: "smsc", Sender: "Clinic", Country: "IT"},
		Destination: number, Content: text, Units: 1, Policy: notification.Policy{
			Tries: 2, BackOff: notification.Duration(100 * s), BackOffMax: notification.Duration(300 * s),
			WireLimit: notification.Duration(wireLimit), Redispatch: notification.Duration(time.Minute),
			Patience: notification.Duration(patience), Unknown: notification.UnknownWait,
			UnknownLimit: notification.Duration(unknownFor), Resends: 1,
		},
	}
	for _, c := range change {
		c(&to)
	}
	return to
}

func units(count int) func(*notification.Target) {
	return func(to *notification.Target) { to.Units = count }
}

func tries(count int) func(*notification.Target) {
	return func(to *notification.Target) { to.Policy.Tries = count }
}

func onUnknown(p notification.UnknownPolicy) func(*notification.Target) {
	return func(to *notification.Target) { to.Policy.Unknown = p }
}

func resends(count int) func(*notification.Target) {
	return func(to *notification.Target) { to.Policy.Resends = count }
}

// The commands. Each attempt is claimed under a claim and a token of its own.

func claim(attempt int, d time.Duration) notification.Claim {
	return notification.Claim{Attempt: attempt, Claim: claimOf(attempt), Token: "token", TokenKey: "key", At: at(d)}
}

func claimOf(attempt int) string { return string(rune('a'-1+attempt)) + "-claim" }

func outcome(attempt int, d time.Duration, units ...notification.UnitOutcome) notification.RecordOutcome {
	return notification.RecordOutcome{Attempt: attempt, Claim: claimOf(attempt), Units: units, At: at(d)}
}

func took(id string, d time.Duration) notification.UnitOutcome {
	return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: id, At: at(d)}
}

func refusal(code string, transient bool) notification.UnitOutcome {
	return notification.UnitOutcome{Fate: notification.UnitRefused, Code: code, Transient: transient}
}

var (
	dropped  = notification.UnitOutcome{Fate: notification.UnitNotSent}
	noAnswer = notification.UnitOutcome{Fate: notification.UnitLost}
)

func limit(attempt int, d time.Duration) notification.EnforceLimit {
	return notification.EnforceLimit{Attempt: attempt, At: at(d)}
}

func says(attempt, unit int, says receipt.Status, id string, d time.Duration) notification.Confirm {
	return notification.Confirm{
		ReceiptID: id, Attempt: attempt, Unit: unit, Status: says, Code: "000", Basis: "submission",
		DoneAt: at(d - 2*s), ReceivedAt: at(d - s), At: at(d),
	}
}

func cancel(d time.Duration) notification.Cancel {
	return notification.Cancel{Reason: "moved", At: at(d)}
}
func expire(d time.Duration) notification.Expire { return notification.Expire{At: at(d)} }

// The events. facts are those of an attempt that was scheduled at noon in step 1 for
// its first target; the options say what is otherwise.

func facts(attempt int, from notification.Status, d time.Duration, change ...func(*notification.Facts)) notification.Facts {
	f := notification.Facts{
		Dimensions: dimension.Dimensions{
			OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "1", Brand: "acme", Segment: "care", Campaign: "spring", Priority: "normal"},
			OfAttempt:      dimension.OfAttempt{Channel: "sms", Route: "smsc", Sender: "Clinic", Country: "IT"},
		},
		Attempt: attempt, Step: 1, Target: 1, From: from, Person: "person-1", Day: "2026-03-01", Units: 1, RequestedAt: noon, ScheduledAt: noon, At: at(d),
	}
	for _, c := range change {
		c(&f)
	}
	if f.DueAt.IsZero() {
		f.DueAt = f.ScheduledAt
	}
	return f
}

func dueAt(d time.Duration) func(*notification.Facts) {
	return func(f *notification.Facts) { f.DueAt = at(d) }
}

func inStep(step int) func(*notification.Facts) {
	return func(f *notification.Facts) { f.Step = step }
}

func toTarget(target int) func(*notification.Facts) {
	return func(f *notification.Facts) { f.Target = target }
}

func ofParts(count int) func(*notification.Facts) {
	return func(f *notification.Facts) { f.Units = count }
}

func scheduledAt(d time.Duration) func(*notification.Facts) {
	return func(f *notification.Facts) { f.ScheduledAt = at(d) }
}

func sentAt(d time.Duration) func(*notification.Facts) {
	return func(f *notification.Facts) { f.SentAt = at(d) }
}

func onDay(day string) func(*notification.Facts) {
	return func(f *notification.Facts) { f.Day = day }
}

// first is an attempt's first try, due as it is scheduled.
func first(f notification.Facts) notification.NotificationScheduled {
	return notification.NotificationScheduled{Facts: f, Due: f.At, Kind: notification.FirstTry, Try: 1}
}

func resend(f notification.Facts, of, try int) notification.NotificationScheduled {
	return notification.NotificationScheduled{Facts: f, Due: f.At, Kind: notification.Resend, Of: of, Try: try}
}

func isDispatched(f notification.Facts) notification.NotificationDispatched {
	return notification.NotificationDispatched{Facts: f, Claim: claimOf(f.Attempt), Token: "token", TokenKey: "key"}
}

func isSent(f notification.Facts, accepted ...notification.Accepted) notification.NotificationSent {
	return notification.NotificationSent{Facts: f, Claim: claimOf(f.Attempt), Token: "token", TokenKey: "key", Accepted: accepted}
}

func accepted(unit int, id string, d time.Duration) notification.Accepted {
	return notification.Accepted{Unit: unit, ProviderID: id, At: at(d)}
}

func isUnknown(f notification.Facts, reason notification.UnknownReason, accepted ...notification.Accepted) notification.NotificationOutcomeUnknown {
	return notification.NotificationOutcomeUnknown{Facts: f, Token: "token", TokenKey: "key", Reason: reason, Accepted: accepted}
}

// failed is an Undelivered that its worker tells of.
func failed(f notification.Facts, why notification.UndeliveredReason, code string, transient bool, accepted ...notification.Accepted) notification.NotificationUndelivered {
	return notification.NotificationUndelivered{
		Facts: f, ReceiptFacts: notification.ReceiptFacts{Code: code}, Why: why, Transient: transient,
		Claim: claimOf(f.Attempt), Token: "token", TokenKey: "key", Accepted: accepted,
	}
}

func withdrawn(f notification.Facts, why notification.WithdrawnReason) notification.NotificationAttemptWithdrawn {
	return notification.NotificationAttemptWithdrawn{Facts: f, Why: why}
}

func failedOver(to int, d time.Duration) notification.NotificationFailedOver {
	return notification.NotificationFailedOver{Filing: filing, FromStep: to - 1, ToStep: to, Why: "all_failed", At: at(d)}
}

func exhausted(d time.Duration) notification.NotificationExhausted {
	return notification.NotificationExhausted{Filing: filing, At: at(d)}
}

// filing is what the events of the notification as a whole are counted under.
var filing = notification.Filing{
	OfNotification: dimension.OfNotification{Scenario: "appointment", Version: "1", Brand: "acme", Segment: "care", Campaign: "spring", Priority: "normal"},
	Person:         "person-1", RequestedAt: noon,
}

// receiptOf are the facts of the receipt that says() makes with the same id and time.
func receiptOf(id string, unit int, d time.Duration) notification.ReceiptFacts {
	return notification.ReceiptFacts{
		ReceiptID: id, Unit: unit, Code: "000", Basis: "submission", DoneAt: at(d - 2*s), ReceivedAt: at(d - s),
	}
}

func isDelivered(f notification.Facts, r notification.ReceiptFacts) notification.NotificationDelivered {
	return notification.NotificationDelivered{Facts: f, ReceiptFacts: r}
}

func isRead(f notification.Facts, r notification.ReceiptFacts) notification.NotificationRead {
	return notification.NotificationRead{Facts: f, ReceiptFacts: r}
}

func reported(f notification.Facts, r notification.ReceiptFacts) notification.NotificationUndelivered {
	return notification.NotificationUndelivered{Facts: f, ReceiptFacts: r, Why: "receipt"}
}

func kept(f notification.Facts, r notification.ReceiptFacts, status receipt.Status, why notification.KeptReason) notification.NotificationReceiptKept {
	return notification.NotificationReceiptKept{Facts: f, ReceiptFacts: r, Status: status, Why: why}
}

// is checks what a notification has come to.
func is(t *testing.T, x example, want notification.Lifecycle, final bool) example {
	t.Helper()
	st := x.State()
	if got := st.Lifecycle(); got != want {
		t.Errorf("the notification is %s, want %s", got, want)
	}
	if st.Final() != final {
		t.Errorf("final: %v, want %v", st.Final(), final)
	}
	return x
}

// requested is what a request becomes.
func requested(r notification.Request) notification.NotificationRequested {
	return notification.NotificationRequested{
		Tenant: r.Tenant, OfNotification: r.OfNotification, Person: r.Person, To: r.To, RequestHMAC: r.RequestHMAC,
		ExpiresAt: r.ExpiresAt, Planned: r.Planned != nil, At: r.At,
	}
}
