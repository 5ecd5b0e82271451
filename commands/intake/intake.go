package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"recapito/commands/intake/strictjson"
	"recapito/domain/address"
	"recapito/domain/dimension"
	"recapito/domain/notification"
	"recapito/domain/personal"
	"recapito/domain/scenario"
)

// Limits of a request.
const (
	MaxAddressesPerChannel = 10
	MaxReferenceLength     = 128
	MaxKeyLength           = 128
	MaxRecipientLength     = 128
	MaxSendAhead           = 366 * 24 * time.Hour
)

// unknownChannel is the code of a channel that no route serves.
const unknownChannel = "unknown_channel"

// checkedRequest is a request that holds, normalised.
type checkedRequest struct {
	Request
	version   string
	brand     string
	segment   string
	personal  map[string]string
	open      map[string]string
	canonical []byte
	own       []ownAddress // by channel, in the order of the channels' names
}

type problems []strictjson.Problem

func (p *problems) add(field, code, format string, args ...any) {
	*p = append(*p, strictjson.Problem{Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
}

// check answers the request normalised, or everything that is wrong with it.
func (n *Intake) check(tenant, key string, r Request) (*checkedRequest, error) {
	var ps problems
	c := &checkedRequest{Request: r}
	n.checkScenario(tenant, c, &ps)
	n.checkAddresses(c, &ps)
	if c.Priority == "" {
		c.Priority = notification.DefaultPriority
	}
	if !slices.Contains(notification.Priorities, c.Priority) {
		ps.add("priority", "invalid_value", "must be one of %s", strings.Join(notification.Priorities, ", "))
	}
	switch {
	case len(r.Recipient) > MaxRecipientLength:
		ps.add("recipient", "too_long", "must have at most %d bytes", MaxRecipientLength)
	case strings.ContainsFunc(r.Recipient, unicode.IsControl), strings.TrimSpace(r.Recipient) != r.Recipient:
		ps.add("recipient", "invalid_value", "must not hold control characters, nor begin or end with a blank")
	}
	labels := r.labels()
	for _, member := range sortedKeys(labels) {
		label := labels[member]
		checkClear(member, label, scenario.MaxNameLength, c.own, &ps)
		if label != "" && len(label) <= scenario.MaxNameLength && !scenario.ValidLabel(label) {
			ps.add(member, "invalid_value", "must be letters, digits and any of . _ -, and begin with a letter or a digit")
		}
	}
	checkClear("reference", r.Reference, MaxReferenceLength, c.own, &ps)
	checkClear("Idempotency-Key", key, MaxKeyLength, c.own, &ps)
	if len(ps) > 0 {
		return nil, &strictjson.Invalid{Problems: ps}
	}
	var err error
	if c.canonical, err = c.canonicalForm(); err != nil {
		return nil, fmt.Errorf("writing the canonical request: %w", err)
	}
	return c, nil
}

func (n *Intake) checkScenario(tenant string, c *checkedRequest, ps *problems) {
	if c.Scenario == "" {
		ps.add("scenario", "missing_field", "is required")
		return
	}
	s, ok := n.c.Scenarios.Scenario(tenant, c.Scenario)
	if !ok {
		ps.add("scenario", "unknown_scenario", "there is no such scenario; GET /v1/scenarios lists them")
		return
	}
	c.version, c.brand, c.segment = s.Version, s.Brand, s.Segment
	var wrong []scenario.FieldProblem
	c.personal, c.open, wrong = s.CheckFields(c.Fields)
	for _, p := range wrong {
		ps.add(p.Field, string(p.Code), "%s", p.Message)
	}
}

func (n *Intake) checkAddresses(c *checkedRequest, ps *problems) {
	to := map[string][]string{}
	for _, channel := range sortedKeys(c.To) {
		addresses := c.To[channel]
		field := "to." + channel
		route, ok := n.c.Routes.For(channel)
		if !ok {
			ps.add("to", unknownChannel, "names a channel that has no route")
			continue
		}
		if len(addresses) == 0 || len(addresses) > MaxAddressesPerChannel {
			ps.add(field, "invalid_value", "must hold 1 to %d addresses", MaxAddressesPerChannel)
			continue
		}
		for i, a := range addresses {
			parsed, err := route.Kind.Address.Parse(a)
			if err != nil {
				ps.add(fmt.Sprintf("%s[%d]", field, i), "invalid_address", "%s", err)
				continue
			}
			if !slices.Contains(to[channel], parsed.Value) {
				to[channel] = append(to[channel], parsed.Value)
				c.own = append(c.own, ownAddress{parsed, route.Kind.Address})
			}
		}
	}
	if len(c.To) == 0 {
		ps.add("to", "missing_field", "is required: no address is known for the recipient")
	}
	c.To = to
}

// checkTimes is apart from check: a request repeated under its idempotency key is
// answered with its notification even after its times have passed.
func (c *checkedRequest) checkTimes(now time.Time) error {
	var ps problems
	c.timeProblems(now, &ps)
	if len(ps) > 0 {
		return &strictjson.Invalid{Problems: ps}
	}
	return nil
}

func (c *checkedRequest) timeProblems(now time.Time, ps *problems) {
	if c.SendAt.After(now.Add(MaxSendAhead)) {
		ps.add("send_at", "invalid_value", "must be at most 366 days ahead")
	}
	if c.ExpiresAt.IsZero() {
		return
	}
	if !c.ExpiresAt.After(now) {
		ps.add("expires_at", "invalid_value", "must be in the future")
	}
	if !c.ExpiresAt.After(c.SendAt) {
		ps.add("expires_at", "invalid_value", "must be after send_at")
	}
	if c.ExpiresAt.After(now.Add(2 * MaxSendAhead)) {
		ps.add("expires_at", "invalid_value", "must be at most 732 days ahead")
	}
}

// checkClear checks a member that is stored in clear: it must hold nothing that looks
// like an address of any kind, nor one of the request's own in any spelling.
func checkClear(field, value string, limit int, own []ownAddress, ps *problems) {
	readings := address.Readings(value)
	switch {
	case len(value) > limit:
		ps.add(field, "too_long", "must have at most %d bytes", limit)
	case strings.ContainsFunc(value, unicode.IsControl):
		ps.add(field, "invalid_value", "must not hold control characters")
	case slices.ContainsFunc(readings, func(text string) bool { return len(address.Find(address.Kinds(), text)) > 0 }):
		ps.add(field, "personal_data", "is stored in clear and must not be an address or a phone number, or hold one")
	case slices.ContainsFunc(own, func(a ownAddress) bool {
		return a.kind.Identifies && slices.ContainsFunc(readings, func(text string) bool { return a.kind.SpelledIn(text, a.Value) })
	}):
		ps.add(field, "personal_data", "is stored in clear and must not hold an address of the request")
	}
}

// ownAddress is an address of a request, with its kind.
type ownAddress struct {
	address.Address
	kind address.Kind
}

// canonicalForm is what the request's HMAC is over: the same for requests that mean
// the same. encoding/json sorts map keys.
func (c *checkedRequest) canonicalForm() ([]byte, error) {
	return json.Marshal(struct {
		dimension.OfNotification
		Recipient, Reference string
		To                   map[string][]string
		Personal, Open       map[string]string
		SendAt, ExpiresAt    time.Time
	}{
		c.dimensions(), c.Recipient, c.Reference, c.To, c.personal, c.open, c.SendAt.UTC(), c.ExpiresAt.UTC(),
	})
}

// addresses are the request's, in the order of the channels' names: the first that
// identifies a person decides whose a request without a recipient is.
func (c *checkedRequest) addresses() []address.Address {
	all := make([]address.Address, len(c.own))
	for i, a := range c.own {
		all[i] = a.Address
	}
	return all
}

func (c *checkedRequest) command(tenant, key string, ref personal.Ref, mac []byte, now time.Time) notification.Request {
	to := map[string][]personal.Value{}
	for channel, addresses := range c.To {
		for _, a := range addresses {
			to[channel] = append(to[channel], personal.New(ref, a))
		}
	}
	fields := map[string]personal.Value{}
	for name, v := range c.personal {
		fields[name] = personal.New(ref, v)
	}
	of := c.dimensions()
	of.Version, of.Brand, of.Segment = c.version, c.brand, c.segment
	return notification.Request{
		OfNotification: of,
		Tenant:         tenant, Person: ref, To: to, Fields: fields, OpenFields: c.open, SendAt: c.SendAt, ExpiresAt: c.ExpiresAt, Reference: c.Reference, IdempotencyKey: key, RequestHMAC: mac, At: now,
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
