package readmodels

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// PartialNotification is a partial row of a notification, made of some of its events.
// Partial rows merge in any order and any number of times: see
// schema/notifications_v1.sql.
type PartialNotification struct {
	Tenant       string
	Notification string
	Dimensions
	ScenarioFrom uint8 // scenario and version are as requested (1) or as enriched (2)
	Reference    string
	Person       string
	Fields       map[string]string // not personal; of one event only

	RequestedAt, SendAt, ExpiresAt, EnrichedAt          *time.Time
	FirstSentAt, FirstDeliveredAt, FirstReadAt, EndedAt *time.Time
	LastEventAt                                         time.Time
	Planned, Step                                       uint16
	Enriched                                            bool
	Rejected, Suppressed, Cancelled, Expired, Exhausted bool
	Statuses, Ladders, Steps, Kinds                     map[uint16]uint16 // by attempt
	Wanted                                              map[uint16]uint16 // by step
	FailedOver                                          []uint16          // steps
	Replies, Payments                                   []string          // ids
	Highest                                             ChannelOf
	Code                                                CodeAt
	Changed                                             uint64 // seq + 1 of the last of the events
}

// ChannelOf is the channel of an attempt, and what that one reached: the highest is the
// notification's.
type ChannelOf struct {
	Ladder, Attempt uint16
	Channel         string
}

// CodeAt is the code of a failure at a change position: the last is the notification's.
type CodeAt struct {
	Changed uint64
	Code    string
}

// Merge adds another partial row of the same notification.
func (p *PartialNotification) Merge(o *PartialNotification) {
	from, scenario, version := p.ScenarioFrom, p.Scenario, p.Version
	if c := cmp.Or(cmp.Compare(o.ScenarioFrom, from), cmp.Compare(o.Scenario, scenario), cmp.Compare(o.Version, version)); c > 0 {
		from, scenario, version = o.ScenarioFrom, o.Scenario, o.Version
	}
	notificationDimensions.merge(&p.Dimensions, &o.Dimensions)
	p.ScenarioFrom, p.Scenario, p.Version = from, scenario, version
	p.Reference, p.Person = max(p.Reference, o.Reference), max(p.Person, o.Person)
	if p.Fields == nil {
		p.Fields = o.Fields
	}
	for _, t := range []struct {
		to   **time.Time
		from *time.Time
	}{
		{&p.RequestedAt, o.RequestedAt}, {&p.SendAt, o.SendAt}, {&p.ExpiresAt, o.ExpiresAt}, {&p.EnrichedAt, o.EnrichedAt},
		{&p.FirstSentAt, o.FirstSentAt}, {&p.FirstDeliveredAt, o.FirstDeliveredAt}, {&p.FirstReadAt, o.FirstReadAt}, {&p.EndedAt, o.EndedAt},
	} {
		if t.from != nil && (*t.to == nil || t.from.Before(**t.to)) {
			*t.to = t.from
		}
	}
	p.LastEventAt = later(p.LastEventAt, o.LastEventAt)
	p.Planned, p.Step = max(p.Planned, o.Planned), max(p.Step, o.Step)
	p.Enriched, p.Rejected, p.Suppressed = p.Enriched || o.Enriched, p.Rejected || o.Rejected, p.Suppressed || o.Suppressed
	p.Cancelled, p.Expired, p.Exhausted = p.Cancelled || o.Cancelled, p.Expired || o.Expired, p.Exhausted || o.Exhausted
	mergeMax(&p.Statuses, o.Statuses)
	mergeMax(&p.Ladders, o.Ladders)
	mergeMax(&p.Steps, o.Steps)
	mergeMax(&p.Kinds, o.Kinds)
	mergeMax(&p.Wanted, o.Wanted)
	p.FailedOver, p.Replies, p.Payments = union(p.FailedOver, o.FailedOver), union(p.Replies, o.Replies), union(p.Payments, o.Payments)
	if c := cmp.Or(cmp.Compare(o.Highest.Ladder, p.Highest.Ladder), cmp.Compare(o.Highest.Attempt, p.Highest.Attempt), cmp.Compare(o.Highest.Channel, p.Highest.Channel)); c > 0 {
		p.Highest = o.Highest
	}
	if c := cmp.Or(cmp.Compare(o.Code.Changed, p.Code.Changed), cmp.Compare(o.Code.Code, p.Code.Code)); c > 0 {
		p.Code = o.Code
	}
	p.Changed = max(p.Changed, o.Changed)
}

func mergeMax(to *map[uint16]uint16, from map[uint16]uint16) {
	if *to == nil && len(from) > 0 {
		*to = map[uint16]uint16{}
	}
	for k, v := range from {
		(*to)[k] = max((*to)[k], v)
	}
}

func union[T cmp.Ordered](a, b []T) []T {
	if len(b) == 0 {
		return a
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

var notificationColumns = slices.Concat(columns[PartialNotification]{
	of("tenant", func(p *PartialNotification) string { return p.Tenant }),
	of("notification", func(p *PartialNotification) string { return p.Notification }),
	sent("scenario", "Tuple(UInt8, String, String)", func(p *PartialNotification) []any {
		return []any{p.ScenarioFrom, p.Scenario, p.Version}
	}),
	of("reference", func(p *PartialNotification) string { return p.Reference }),
	of("person", func(p *PartialNotification) string { return p.Person }),
	sent("fields", "Array(Tuple(String, String))", (*PartialNotification).fields),
	of("requested_at", func(p *PartialNotification) *time.Time { return p.RequestedAt }),
	of("send_at", func(p *PartialNotification) *time.Time { return p.SendAt }),
	of("expires_at", func(p *PartialNotification) *time.Time { return p.ExpiresAt }),
	of("enriched_at", func(p *PartialNotification) *time.Time { return p.EnrichedAt }),
	of("first_sent_at", func(p *PartialNotification) *time.Time { return p.FirstSentAt }),
	of("first_delivered_at", func(p *PartialNotification) *time.Time { return p.FirstDeliveredAt }),
	of("first_read_at", func(p *PartialNotification) *time.Time { return p.FirstReadAt }),
	of("ended_at", func(p *PartialNotification) *time.Time { return p.EndedAt }),
	of("last_event_at", func(p *PartialNotification) time.Time { return p.LastEventAt }),
	of("planned", func(p *PartialNotification) uint16 { return p.Planned }),
	of("step", func(p *PartialNotification) uint16 { return p.Step }),
	of("enriched", func(p *PartialNotification) bool { return p.Enriched }),
	of("rejected", func(p *PartialNotification) bool { return p.Rejected }),
	of("suppressed", func(p *PartialNotification) bool { return p.Suppressed }),
	of("cancelled", func(p *PartialNotification) bool { return p.Cancelled }),
	of("expired", func(p *PartialNotification) bool { return p.Expired }),
	of("exhausted", func(p *PartialNotification) bool { return p.Exhausted }),
	of("statuses", func(p *PartialNotification) map[uint16]uint16 { return p.Statuses }),
	of("ladders", func(p *PartialNotification) map[uint16]uint16 { return p.Ladders }),
	of("steps", func(p *PartialNotification) map[uint16]uint16 { return p.Steps }),
	of("kinds", func(p *PartialNotification) map[uint16]uint16 { return p.Kinds }),
	of("wanted", func(p *PartialNotification) map[uint16]uint16 { return p.Wanted }),
	of("failed_over", func(p *PartialNotification) []uint16 { return p.FailedOver }),
	of("replies", func(p *PartialNotification) []string { return p.Replies }),
	of("payments", func(p *PartialNotification) []string { return p.Payments }),
	sent("channel", "Tuple(UInt16, UInt16, String)", func(p *PartialNotification) []any {
		return []any{p.Highest.Ladder, p.Highest.Attempt, p.Highest.Channel}
	}),
	sent("code", "Tuple(UInt64, String)", func(p *PartialNotification) []any {
		return []any{p.Code.Changed, p.Code.Code}
	}),
	of("changed", func(p *PartialNotification) uint64 { return p.Changed }),
}, dimensionColumns(notificationDimensions, func(p *PartialNotification) *Dimensions { return &p.Dimensions }))

// fields are the custom fields in the order of their names.
func (p *PartialNotification) fields() [][]any {
	fields := make([][]any, 0, len(p.Fields))
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		fields = append(fields, []any{name, p.Fields[name]})
	}
	return fields
}

func (PartialNotification) columns(rows []Row) []any { return notificationColumns.of(rows) }

// Notification is a row of the view notifications.
type Notification struct {
	Tenant       string `ch:"tenant" json:"tenant"`
	Notification string `ch:"notification" json:"notification"`
	OfNotification
	Reference        string            `ch:"reference" json:"reference,omitempty"`
	Person           string            `ch:"person" json:"person"`
	Fields           map[string]string `ch:"fields" json:"fields,omitempty"` // custom fields that are not personal
	State            string            `ch:"state" json:"state"`
	Final            bool              `ch:"final" json:"final"`
	WantedReached    bool              `ch:"wanted_reached" json:"wanted_reached"`
	Step             uint16            `ch:"step" json:"step"`
	Steps            uint16            `ch:"steps" json:"steps"`
	Attempts         uint16            `ch:"attempts" json:"attempts"`
	Retries          uint16            `ch:"retries" json:"retries"`
	Resends          uint16            `ch:"resends" json:"resends"`
	Failovers        uint16            `ch:"failovers" json:"failovers"`
	RequestedAt      *time.Time        `ch:"requested_at" json:"requested_at,omitempty"`
	SendAt           *time.Time        `ch:"send_at" json:"send_at,omitempty"`
	ExpiresAt        *time.Time        `ch:"expires_at" json:"expires_at,omitempty"`
	EnrichedAt       *time.Time        `ch:"enriched_at" json:"enriched_at,omitempty"`
	FirstSentAt      *time.Time        `ch:"first_sent_at" json:"first_sent_at,omitempty"`
	FirstDeliveredAt *time.Time        `ch:"first_delivered_at" json:"first_delivered_at,omitempty"`
	FirstReadAt      *time.Time        `ch:"first_read_at" json:"first_read_at,omitempty"`
	EndedAt          *time.Time        `ch:"ended_at" json:"ended_at,omitempty"`
	LastEventAt      time.Time         `ch:"last_event_at" json:"last_event_at"`
	Channel          string            `ch:"channel" json:"channel,omitempty"`
	Code             string            `ch:"code" json:"code,omitempty"`
	Replies          uint16            `ch:"replies" json:"replies,omitempty"`
	Paid             bool              `ch:"paid" json:"paid,omitempty"`
	Changed          uint64            `ch:"changed" json:"changed"`
}

// notificationSelect are the columns of the view notifications.
var notificationSelect = `tenant, notification, scenario, version, ` + notificationDimensions.list() + `, reference, person, fields,
	state, final, wanted_reached, step, steps, attempts, retries, resends, failovers, requested_at, send_at, expires_at, enriched_at,
	first_sent_at, first_delivered_at, first_read_at, ended_at, last_event_at, channel, code, replies, paid, changed`
