package notification

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Phrase is an event in the audit trail. It holds no personal value: those are sealed
// where the trail is read, and not looked at.
type Phrase struct {
	What           string // a sentence
	Details        map[string]any
	Reason         string
	Considerations []Consideration
}

// PhraseOf puts an event into words.
func PhraseOf(e Event) Phrase {
	switch e := e.(type) {
	case NotificationRequested:
		return phraseOfRequested(e)
	case NotificationEnriched:
		return phraseOfEnriched(e)
	case NotificationScheduled:
		t := ofAttempt(e.Facts, "created: due %s over %s", e.Due.UTC().Format("2006-01-02 15:04:05 MST"), e.Route)
		t.Details["due_at"], t.Details["kind"] = e.Due.UTC(), e.Kind
		t.set("follows", e.Of, e.Of != 0)
		return t
	case NotificationDispatched:
		return ofAttempt(e.Facts, "taken by a worker, before anything went on the wire")
	case NotificationPostponed:
		t := ofAttempt(e.Facts, "postponed until %s", e.Until.UTC().Format("2006-01-02 15:04:05 MST"))
		t.Details["until"], t.Reason = e.Until.UTC(), e.Code
		return t
	case NotificationSent:
		t := ofAttempt(e.Facts, "taken by the provider, %s", units(len(e.Accepted)))
		t.accepted(e.Accepted)
		return t
	case NotificationOutcomeUnknown:
		t := ofAttempt(e.Facts, "on the wire, and nobody can know whether the provider took it")
		t.Reason = string(e.Reason)
		t.accepted(e.Accepted)
		return t
	case NotificationDelivered:
		return ofAttempt(e.Facts, "delivered").with(e.ReceiptFacts)
	case NotificationUndelivered:
		t := ofAttempt(e.Facts, "failed: %s%s", failures[e.Why], codeOf(e)).with(e.ReceiptFacts)
		t.Reason = string(e.Why)
		t.Details["transient"] = e.Transient
		t.accepted(e.Accepted)
		return t
	case NotificationRead:
		return ofAttempt(e.Facts, "read by the person").with(e.ReceiptFacts)
	case NotificationReceiptKept:
		t := ofAttempt(e.Facts, "has a receipt: %s%s", statusOf(e), kept[e.Why]).with(e.ReceiptFacts)
		t.Details["status"] = string(e.Status)
		t.Reason = string(e.Why)
		return t
	case NotificationRetried:
		t := ofAttempt(e.Facts, "followed by attempt %d to the same target", e.Next)
		t.Details["next"], t.Reason = e.Next, string(e.Why)
		if e.Code != "" {
			t.Details["code"] = e.Code
		}
		return t
	case NotificationFailedOver:
		return Phrase{
			What:    fmt.Sprintf("Step %d failed; step %d follows.", e.FromStep, e.ToStep),
			Details: map[string]any{"from_step": e.FromStep, "to_step": e.ToStep}, Reason: string(e.Why),
		}
	case NotificationGivenUp:
		t := ofAttempt(e.Facts, "given up by a person while its outcome was unknown")
		t.Reason = e.Reason
		return t
	case NotificationAttemptWithdrawn:
		t := ofAttempt(e.Facts, "withdrawn, never to be sent%s", withdrawn[e.Why])
		t.Reason = string(e.Why)
		return t
	case NotificationRejected:
		return Phrase{What: "Rejected: " + e.Detail + ".", Details: map[string]any{"code": e.Code}, Reason: e.Detail, Considerations: e.Why}
	case NotificationSuppressed:
		return Phrase{What: "Suppressed: " + e.Detail + ".", Details: map[string]any{"code": e.Code}, Reason: e.Detail, Considerations: e.Why}
	case NotificationExpired:
		return Phrase{What: "Expired: nothing more is sent.", Details: map[string]any{}, Reason: "expires_at passed"}
	case NotificationCancelled:
		sent := e.Sent
		if sent == nil {
			sent = []int{}
		}
		return Phrase{What: "Cancelled: what was not sent is stopped.", Details: map[string]any{"sent": sent}, Reason: e.Reason}
	case NotificationExhausted:
		return Phrase{What: "Exhausted: every step failed.", Details: map[string]any{}}
	case NotificationReplied:
		t := Phrase{What: "The person answered.", Details: map[string]any{"channel": e.Channel, "reply_id": e.ReplyID}}
		t.set("attempt", e.Attempt, e.Attempt != 0)
		return t
	case NotificationPaid:
		return Phrase{What: "It was paid.", Details: map[string]any{"payment_id": e.PaymentID}}
	case Attempt, Facts, Filing: // embedded in events, never one themselves
	}
	return Phrase{What: "Something that this version does not know.", Details: map[string]any{}}
}

var failures = map[UndeliveredReason]string{
	UndeliveredRefused:   "refused by the provider",
	UndeliveredNotSent:   "not sent",
	UndeliveredPartial:   "sent in part only",
	UndeliveredByReceipt: "reported undelivered by the provider",
}

// withdrawn is why an attempt will not be sent.
var withdrawn = map[WithdrawnReason]string{
	WithdrawnWantedReached: ": what the step wanted is reached",
	WithdrawnCancelled:     ": the notification is cancelled",
	WithdrawnExpired:       ": its time is over",
	WithdrawnPatience:      ": its route took nothing for as long as it may wait",
	WithdrawnFirstSent:     ": the one before it was sent after all",
	WithdrawnSuppressed:    ": the person's consent was withdrawn",
}

// kept is why a receipt left an attempt as it was.
var kept = map[KeptReason]string{
	KeptUnit:         ", the others are awaited",
	KeptWaits:        ", while the send's own result is awaited",
	KeptDouble:       ", which was known",
	KeptContradicts:  ", against what is known",
	KeptIntermediate: ", which is not the end",
	KeptNoSuchUnit:   ", a unit that it does not have",
	KeptNotSent:      ", though it was not sent",
}

// statusOf is the status of a receipt, and of which unit if there are several.
func statusOf(e NotificationReceiptKept) string {
	if e.Units > 1 && e.Unit > 0 {
		return fmt.Sprintf("unit %d of %d %s", e.Unit, e.Units, e.Status)
	}
	return string(e.Status)
}

// codeOf is the provider's code, for what the provider reported.
func codeOf(e NotificationUndelivered) string {
	if e.Code == "" || e.Code == CodeNotSent {
		return ""
	}
	return ", code " + e.Code
}

func phraseOfRequested(e NotificationRequested) Phrase {
	addresses := map[string]int{}
	for channel, to := range e.To {
		addresses[channel] = len(to)
	}
	t := Phrase{
		What: fmt.Sprintf("Requested: scenario %s, priority %s.", e.Scenario, e.Priority),
		Details: map[string]any{
			"scenario": e.Scenario, "version": e.Version, "priority": e.Priority, "person": e.Person.Person,
			"addresses": addresses, "fields": e.FieldNames(), "test": e.Test,
		},
	}
	t.set("send_at", e.SendAt.UTC(), !e.SendAt.IsZero())
	t.set("expires_at", e.ExpiresAt.UTC(), !e.ExpiresAt.IsZero())
	t.set("brand", e.Brand, e.Brand != "")
	t.set("segment", e.Segment, e.Segment != "")
	t.set("campaign", e.Campaign, e.Campaign != "")
	t.set("reference", e.Reference, e.Reference != "")
	t.set("idempotency_key", e.IdempotencyKey, e.IdempotencyKey != "")
	return t
}

func phraseOfEnriched(e NotificationEnriched) Phrase {
	var steps []map[string]any
	var words []string
	for _, s := range e.Plan.Steps {
		var targets []map[string]any
		channels := map[string]bool{}
		for _, target := range s.Targets {
			channels[target.Channel] = true
			targets = append(targets, map[string]any{
				"channel": target.Channel, "route": target.Route, "country": target.Country, "operator": target.Operator, "units": target.Units,
			})
		}
		words = append(words, strings.Join(slices.Sorted(maps.Keys(channels)), " and "))
		steps = append(steps, map[string]any{"wanted": s.Wanted, "wait": s.Wait, "targets": targets})
	}
	return Phrase{
		What:    fmt.Sprintf("Planned: %s.", strings.Join(words, ", then ")),
		Details: map[string]any{"scenario": e.Scenario, "version": e.Version, "steps": steps}, Considerations: e.Why,
	}
}

// ofAttempt begins the phrase of an attempt's event.
func ofAttempt(f Facts, format string, args ...any) Phrase {
	t := Phrase{
		What: fmt.Sprintf("Attempt %d by %s ", f.Attempt, f.Channel) + fmt.Sprintf(format, args...) + ".",
		Details: map[string]any{
			"attempt": f.Attempt, "step": f.Step, "channel": f.Channel, "route": f.Route, "units": f.Units,
		},
	}
	t.set("from", f.From, f.From != None)
	t.set("country", f.Country, f.Country != "")
	t.set("operator", f.Operator, f.Operator != "")
	return t
}

func (t Phrase) set(name string, v any, known bool) {
	if known {
		t.Details[name] = v
	}
}

// with adds the receipt that brought an event.
func (t Phrase) with(r ReceiptFacts) Phrase {
	t.set("receipt_id", r.ReceiptID, r.ReceiptID != "")
	t.set("unit", r.Unit, r.Unit != 0)
	t.set("code", r.Code, r.Code != "")
	t.set("basis", r.Basis, r.Basis != "")
	t.set("done_at", r.DoneAt.UTC(), !r.DoneAt.IsZero())
	t.set("received_at", r.ReceivedAt.UTC(), !r.ReceivedAt.IsZero())
	return t
}

func (t Phrase) accepted(units []Accepted) {
	var all []map[string]any
	for _, p := range units {
		all = append(all, map[string]any{"unit": p.Unit, "provider_id": p.ProviderID, "at": p.At.UTC()})
	}
	t.set("accepted", all, len(all) > 0)
}

func units(n int) string {
	if n == 1 {
		return "1 unit"
	}
	return fmt.Sprintf("%d units", n)
}

// FieldNames lists the names of the fields given, personal and open ones, sorted.
func (e *NotificationRequested) FieldNames() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(e.Fields)), maps.Keys(e.OpenFields))
	slices.Sort(names)
	if names == nil {
		names = []string{}
	}
	return names
}
