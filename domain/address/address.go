// Package address knows kinds of address: what an address is, whatever channel carries
// a message to it. A phone number is one kind over SMS, voice, WhatsApp and Viber, so
// persons are found by kind and never by channel.
//
// A kind is a value. It normalises an address to the one form that is stored, gives the
// form that persons are found by, knows facts such as the country, and finds what looks
// like an address of its kind inside any text. A channel's folder may export a kind of
// its own; nothing here must be edited for it.
//
// Promises: every function is pure and safe for concurrent use. Normalise is idempotent.
// No error and no String holds an address or a part of one.
//
// Not promised: that an address exists, or that Find finds every spelling that a human
// can read. Find errs towards letting an order reference pass.
package address

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Kind is what an address is. Name and Normalise are required.
type Kind struct {
	Name string // "phone"; part of the hashes that persons are found by, never reused
	// Identifies is whether an address of the kind identifies a person. A URL does not:
	// it names a service.
	Identifies bool
	// Normalise returns the one form that is stored and sent to. Its error names the rule
	// and the shape of the value, never the value.
	Normalise func(value string) (string, error)
	// Identity returns the form of a normal address that persons are found by. If nil, it
	// is the normal form.
	Identity func(normal string) string
	// Facts returns what a normal address shows of itself. If nil, it shows nothing.
	Facts func(normal string, operators Operators) Facts
	// Find returns what looks like an address of the kind inside a text, in order and
	// without overlap. If nil, addresses of the kind cannot be recognised.
	Find func(text string) []Span
	// Spells reports whether a text holds a given normal address in any spelling. If nil,
	// letter case is ignored and nothing else.
	Spells func(text, normal string) bool
	// Reads reads an address as a provider's report has it. If nil, what normalises is
	// complete, and anything else is no address.
	Reads func(text string) Reported
}

// Facts are what an address shows of itself in clear.
type Facts struct {
	Country  string // ISO 3166-1 alpha-2; "" if it has none
	Operator string // the holder of its range; "" if unknown
}

// Span is a part of a text: text[Start:End].
type Span struct{ Start, End int }

// Found is a span and the kind of address that it looks like.
type Found struct {
	Kind string
	Span
}

// The kinds that this package exports.
var (
	Phone = Kind{Name: "phone", Identifies: true, Normalise: normalisePhone, Facts: phoneFacts, Find: findPhones, Spells: spellsPhone, Reads: readPhone}
	Email = Kind{Name: "email", Identifies: true, Normalise: normaliseEmail, Identity: emailIdentity, Find: findEmails, Spells: spellsEmail}
	// Device is a token of an app on one device, as its push service gives it.
	Device = Kind{Name: "device", Identifies: true, Normalise: normaliseDevice, Find: findDevices}
	// User is an id at a body's own system, such as an app's account.
	User = Kind{Name: "user", Identifies: true, Normalise: normaliseUser}
	URL  = Kind{Name: "url", Normalise: normaliseURL}
	ISSI = Kind{Name: "issi", Identifies: true, Normalise: normaliseISSI}
)

// Kinds returns the kinds that this package exports.
func Kinds() []Kind { return []Kind{Phone, Email, Device, User, URL, ISSI} }

// Named returns the kind with a name from a list.
func Named(kinds []Kind, name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Find returns what looks like an address of one of the kinds inside a text. Spans of
// different kinds may overlap.
func Find(kinds []Kind, text string) []Found {
	var all []Found
	for _, k := range kinds {
		if k.Find == nil {
			continue
		}
		for _, s := range k.Find(text) {
			all = append(all, Found{k.Name, s})
		}
	}
	return all
}

// Address is an address of a kind, in clear and normalised. Never log its values.
type Address struct {
	Kind     string
	Value    string // the normal form
	Identity string // what persons are found by; "" if the kind identifies nobody
}

// Parse returns the address that a value is, normalised.
func (k Kind) Parse(value string) (Address, error) {
	normal, err := k.Normalise(value)
	if err != nil {
		return Address{}, err
	}
	a := Address{Kind: k.Name, Value: normal}
	switch {
	case !k.Identifies:
	case k.Identity != nil:
		a.Identity = k.Identity(normal)
	default:
		a.Identity = normal
	}
	return a, nil
}

// FactsOf returns what a normal address shows of itself; its operator by that table.
func (k Kind) FactsOf(normal string, operators Operators) Facts {
	if k.Facts == nil {
		return Facts{}
	}
	return k.Facts(normal, operators)
}

// SpelledIn reports whether a text holds a normal address of the kind in any spelling.
func (k Kind) SpelledIn(text, normal string) bool {
	if k.Spells != nil {
		return k.Spells(text, normal)
	}
	return holdsWord(fold(text), fold(normal))
}

// fold makes texts that differ only in letter case or in the form of their characters the
// same (Unicode, section 5.18: NFKC and full case folding, where "ß" is "ss").
func fold(text string) string { return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(text))) }

// String hides the values.
func (a Address) String() string { return a.Kind + ":[personal]" }

// GoString hides the values too.
func (a Address) GoString() string { return a.String() }

// shortWord is the length in bytes below which a value counts as held by a text only if
// it stands there as a word of its own: "a1" is part of many texts that do not mean it.
const shortWord = 8

func holdsWord(text, word string) bool {
	for from := 0; word != ""; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		start := from + i
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[start+len(word):])
		if len(word) >= shortWord || !wordRune(before) && !wordRune(after) {
			return true
		}
		_, size := utf8.DecodeRuneInString(word)
		from = start + size
	}
	return false
}

func wordRune(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// shape describes a value without a part of it.
func shape(value string) string {
	return fmt.Sprintf("got %d characters", utf8.RuneCountInString(value))
}
