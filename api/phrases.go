package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"recapito/domain/notification"
)

// phrase is an event in the audit trail. Personal values are not among it: they
// are sealed where the trail is read, and not looked at.
type phrase struct {
	what           string
	details        map[string]any
	reason         string
	considerations []notification.Consideration
}

// phraseOf puts an event into words.
func phraseOf(e notification.Event) phrase {
	switch e := e.(type) {
	case notification.NotificationRequested:
		return phraseOfRequested(e)
	case notification.NotificationEnriched:
		return phraseOfEnriched(e)
	case notification.NotificationScheduled:
		t := ofAttempt(e.Facts, "created: due %s over %s", e.Due.UTC().Format("2006-01-02 15:04:05 MST"), e.Route)
		t.details["due_at"], t.details["kind"] = e.Due.UTC(), e.Kind
		t.set("follows", e.Of, e.Of != 0)
		return t
	case notification.NotificationDispatched:
		return ofAttempt(e.Facts, "taken by a worker, before anything went on the wire")
	case notification.NotificationPostponed:
		t := ofAttempt(e.Facts, "postponed until %s", e.Until.UTC().Format("2006-01-02 15:04:05 MST"))
		t.details["until"], t.reason = e.Until.UTC(), e.Code
		return t
	case notification.NotificationSent:
		t := ofAttempt(e.Facts, "taken by the provider, %s", units(len(e.Accepted)))
		t.accepted(e.Accepted)
		return t
	case notification.NotificationOutcomeUnknown:
		t := ofAttempt(e.Facts, "on the wire, and nobody can know whether the provider took it")
		t.reason = string(e.Reason)
		t.accepted(e.Accepted)
		return t
	case notification.NotificationDelivered:
		return ofAttempt(e.Facts, "delivered").with(e.ReceiptFacts)
	case notification.NotificationUndelivered:
		t := ofAttempt(e.Facts, "failed: %s%s", failures[e.Why], codeOf(e)).with(e.ReceiptFacts)
		t.reason = string(e.Why)
		t.details["transient"] = e.Transient
		t.accepted(e.Accepted)
		return t
	case notification.NotificationRead:
		return ofAttempt(e.Facts, "read by the person").with(e.ReceiptFacts)
	case notification.NotificationReceiptKept:
		t := ofAttempt(e.Facts, "has a receipt: %s%s", statusOf(e), kept[e.Why]).with(e.ReceiptFacts)
		t.details["says"] = e.Says
		t.reason = string(e.Why)
		return t
	case notification.NotificationRetried:
		t := ofAttempt(e.Facts, "followed by attempt %d to the same target", e.Next)
		t.details["next"], t.reason = e.Next, e.Why
		return t
	case notification.NotificationFailedOver:
		return phrase{
			what:    fmt.Sprintf("Step %d failed; step %d follows.", e.FromStep, e.ToStep),
			details: map[string]any{"from_step": e.FromStep, "to_step": e.ToStep}, reason: e.Why,
		}
	case notification.NotificationGivenUp:
		t := ofAttempt(e.Facts, "given up by a person while its outcome was unknown")
		t.reason = e.Reason
		return t
	case notification.NotificationAttemptWithdrawn:
		t := ofAttempt(e.Facts, "withdrawn, never to be sent%s", withdrawn[e.Why])
		t.reason = string(e.Why)
		return t
	case notification.NotificationRejected:
		return phrase{what: "Rejected: " + e.Detail + ".", details: map[string]any{"code": e.Code}, reason: e.Detail, considerations: e.Why}
	case notification.NotificationSuppressed:
		return phrase{what: "Suppressed: " + e.Detail + ".", details: map[string]any{"code": e.Code}, reason: e.Detail, considerations: e.Why}
	case notification.NotificationExpired:
		return phrase{what: "Expired: nothing more is sent.", details: map[string]any{}, reason: "expires_at passed"}
	case notification.NotificationCancelled:
		sent := e.Sent
		if sent == nil {
			sent = []int{}
		}
		return phrase{what: "Cancelled: what was not sent is stopped.", details: map[string]any{"sent": sent}, reason: e.Reason}
	case notification.NotificationExhausted:
		return phrase{what: "Exhausted: every step failed.", details: map[string]any{}}
	case notification.NotificationReplied:
		t := phrase{what: "The person answered.", details: map[string]any{"channel": e.Channel, "reply_id": e.ReplyID}}
		t.set("attempt", e.Attempt, e.Attempt != 0)
		return t
	case notification.NotificationPaid:
		return phrase{what: "It was paid.", details: map[string]any{"payment_id": e.PaymentID}}
	case notification.Attempt, notification.Facts, notification.Filing: // embedded in events, never one themselves
	}
	return phrase{what: "Something that this version does not know.", details: map[string]any{}}
}

var failures = map[notification.UndeliveredReason]string{
	notification.UndeliveredRefused:   "refused by the provider",
	notification.UndeliveredNotSent:   "not sent",
	notification.UndeliveredPartial:   "sent in part only",
	notification.UndeliveredByReceipt: "reported undelivered by the provider",
}

// withdrawn is why an attempt will not be sent.
var withdrawn = map[notification.WithdrawnReason]string{
	notification.WithdrawnWantedReached: ": what the step wanted is reached",
	notification.WithdrawnCancelled:     ": the notification is cancelled",
	notification.WithdrawnExpired:       ": its time is over",
	notification.WithdrawnPatience:      ": its route took nothing for as long as it may wait",
	notification.WithdrawnFirstSent:     ": the one before it was sent after all",
	notification.WithdrawnSuppressed:    ": the person's consent was withdrawn",
}

// kept is why a receipt left an attempt as it was.
var kept = map[notification.KeptReason]string{
	notification.KeptUnit:         ", the others are awaited",
	notification.KeptWaits:        ", while the send's own result is awaited",
	notification.KeptDouble:       ", which was known",
	notification.KeptContradicts:  ", against what is known",
	notification.KeptIntermediate: ", which is not the end",
	notification.KeptNoSuchUnit:   ", a unit that it does not have",
	notification.KeptNotSent:      ", though it was not sent",
}

// statusOf is the status of a receipt, and of which unit if there are several.
func statusOf(e notification.NotificationReceiptKept) string {
	if e.Units > 1 && e.Unit > 0 {
		return fmt.Sprintf("unit %d of %d %s", e.Unit, e.Units, e.Says)
	}
	return e.Says
}

// codeOf is the provider's code, for what the provider reported.
func codeOf(e notification.NotificationUndelivered) string {
	if e.Code == "" || e.Code == notification.CodeNotSent {
		return ""
	}
	return ", code " + e.Code
}

func phraseOfRequested(e notification.NotificationRequested) phrase {
	addresses := map[string]int{}
	for channel, to := range e.To {
		addresses[channel] = len(to)
	}
	t := phrase{
		what: fmt.Sprintf("Requested: scenario %s, priority %s.", e.Scenario, e.Priority),
		details: map[string]any{
			"scenario": e.Scenario, "version": e.Version, "priority": e.Priority, "person": e.Person.Person,
			"addresses": addresses, "fields": fieldNames(&e), "test": e.Test,
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

func phraseOfEnriched(e notification.NotificationEnriched) phrase {
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
	return phrase{
		what:    fmt.Sprintf("Planned: %s.", strings.Join(words, ", then ")),
		details: map[string]any{"scenario": e.Scenario, "version": e.Version, "steps": steps}, considerations: e.Why,
	}
}

// ofAttempt begins the phrase of an attempt's event.
func ofAttempt(f notification.Facts, format string, args ...any) phrase {
	t := phrase{
		what: fmt.Sprintf("Attempt %d by %s ", f.Attempt, f.Channel) + fmt.Sprintf(format, args...) + ".",
		details: map[string]any{
			"attempt": f.Attempt, "step": f.Step, "channel": f.Channel, "route": f.Route, "units": f.Units,
		},
	}
	t.set("from", f.From, f.From != notification.None)
	t.set("country", f.Country, f.Country != "")
	t.set("operator", f.Operator, f.Operator != "")
	return t
}

func (t phrase) set(name string, v any, known bool) {
	if known {
		t.details[name] = v
	}
}

// with adds the receipt that brought an event.
func (t phrase) with(r notification.ReceiptFacts) phrase {
	t.set("receipt_id", r.ReceiptID, r.ReceiptID != "")
	t.set("unit", r.Unit, r.Unit != 0)
	t.set("code", r.Code, r.Code != "")
	t.set("basis", r.Basis, r.Basis != "")
	t.set("done_at", r.DoneAt.UTC(), !r.DoneAt.IsZero())
	t.set("received_at", r.ReceivedAt.UTC(), !r.ReceivedAt.IsZero())
	return t
}

func (t phrase) accepted(units []notification.Accepted) {
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
