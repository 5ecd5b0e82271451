package address_test

import (
	"fmt"
	"strings"
	"testing"

	"recapito/domain/address"
)

func TestNormalise(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		kind        address.Kind
		value, want string // want "" : refused
		rule        string
	}{
		{address.Phone, "+393331234567", "+393331234567", ""},
		{address.Phone, "+390612345678", "+390612345678", ""}, // a zero that is part of the number
		{address.Phone, "+491701234567", "+491701234567", ""},
		{address.Phone, "+12025550123", "+12025550123", ""},
		{address.Phone, "+447911123456", "+447911123456", ""},
		{address.Phone, "+80012345678", "+80012345678", ""},     // of no country
		{address.Phone, "+5491123456789", "+5491123456789", ""}, // the 9 of a mobile is dialled from abroad
		{address.Phone, "+4901701234567", "", "national prefix"},
		{address.Phone, "+4407911123456", "", "national prefix"},
		{address.Phone, "+3903331234567", "", "national prefix"}, // in Italy only fixed lines have the zero
		{address.Phone, "+112025550123", "", "E.164"},            // a digit that the library would drop
		{address.Phone, "+3933312345678", "", "digits too many"},
		{address.Phone, "+3933312345678901", "", "E.164"},
		{address.Phone, "+120255501234", "", "too many digits"},
		{address.Phone, "+39333", "", "E.164"},
		{address.Phone, "+9991234567", "", "country code"},
		{address.Phone, "3331234567", "", "E.164"},
		{address.Phone, "00393331234567", "", "E.164"},
		{address.Phone, "+39 333 1234567", "", "E.164"},
		{address.Phone, "+39333\n1234567", "", "E.164"},
		{address.Phone, " +393331234567", "", "E.164"},
		{address.Phone, "", "", "E.164"},

		{address.Email, "Anna.Rossi@Example.COM", "Anna.Rossi@example.com", ""},
		{address.Email, "anna+shop@example.com", "anna+shop@example.com", ""},
		{address.Email, "anna@bücher.example", "anna@xn--bcher-kva.example", ""},
		{address.Email, "anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example", ""},
		{address.Email, "jose\u0301@example.com", "jos\u00e9@example.com", ""}, // NFC
		{address.Email, `"anna"@example.com`, "anna@example.com", ""},
		{address.Email, `"anna rossi"@example.com`, `"anna rossi"@example.com`, ""},
		{address.Email, `"a\"b@c"@example.com`, `"a\"b@c"@example.com`, ""},
		{address.Email, `"a\n"@example.com`, "an@example.com", ""},
		{address.Email, long + "@example.com", long + "@example.com", ""},
		{address.Email, long + "a@example.com", "", "64 bytes"},
		{address.Email, "anna@" + strings.Repeat(strings.Repeat("a", 60)+".", 4) + "community", "", "at most 254"},
		{address.Email, "anna@example", "", "full domain name"},
		{address.Email, "anna@example.com.", "", "domain name"},
		{address.Email, "anna@[192.0.2.1]", "", "literal"},
		{address.Email, "anna@192.0.2.1", "", "number"},
		{address.Email, "anna@-example.com", "", "domain name"},
		{address.Email, "anna@exa mple.com", "", "domain name"},
		{address.Email, ".anna@example.com", "", "single dots"},
		{address.Email, "an..na@example.com", "", "single dots"},
		{address.Email, "an na@example.com", "", "single dots"},
		{address.Email, "Anna <anna@example.com>", "", "mailbox"},
		{address.Email, "anna@example.com, b@example.com", "", "mailbox"},
		{address.Email, "anna@example.com\r\nBcc: b@example.com", "", "printable"},
		{address.Email, "anna", "", "local part, @"},
		{address.Email, "@example.com", "", "local part, @"},
		{address.Email, "anna@", "", "local part, @"},
		{address.Email, "\xff@example.com", "", "printable"},

		{address.Device, "cT3x:APA91bXyZ", "cT3x:APA91bXyZ", ""},
		{address.Device, "", "", "token"},
		{address.Device, "a b", "", "token"},
		{address.Device, strings.Repeat("a", 4097), "", "token"},
		{address.User, "RSSMRA85T10A562S", "RSSMRA85T10A562S", ""},
		{address.User, "jose\u0301", "jos\u00e9", ""},
		{address.User, " a", "", "user's id"},
		{address.User, "a\nb", "", "user's id"},
		{address.User, "", "", "user's id"},
		{address.URL, "HTTPS://Example.com/Path?q=A", "https://example.com/Path?q=A", ""},
		{address.URL, "http://[2001:DB8::1]:80", "http://[2001:db8::1]:80", ""},
		{address.URL, "ftp://example.com/", "", "http or https"},
		{address.URL, "https://user:pass@example.com/", "", "user information"},
		{address.URL, "https://example.com/#a", "", "fragment"},
		{address.URL, "/relative", "", "absolute"},
		{address.URL, "https:///path", "", "absolute"},
		{address.ISSI, "1", "1", ""},
		{address.ISSI, "16777214", "16777214", ""},
		{address.ISSI, "16777215", "", "ISSI"},
		{address.ISSI, "0", "", "ISSI"},
		{address.ISSI, "01", "", "ISSI"},
		{address.ISSI, "99999999", "", "ISSI"},
		{address.ISSI, "12a", "", "ISSI"},
	} {
		got, err := c.kind.Normalise(c.value)
		switch {
		case c.want != "" && (err != nil || got != c.want):
			t.Errorf("%s %q: got %q, %v; want %q", c.kind.Name, c.value, got, err, c.want)
		case c.want == "" && err == nil:
			t.Errorf("%s %q: accepted as %q", c.kind.Name, c.value, got)
		case c.want == "" && !strings.Contains(err.Error(), c.rule):
			t.Errorf("%s %q: %q does not name the rule %q", c.kind.Name, c.value, err, c.rule)
		}
	}
}

func TestIdentity(t *testing.T) {
	parse := func(k address.Kind, value string) address.Address {
		t.Helper()
		a, err := k.Parse(value)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	one := parse(address.Email, "Anna.Rossi@example.com")
	if other := parse(address.Email, "anna.rossi@EXAMPLE.com"); other.Identity != one.Identity || one.Value != "Anna.Rossi@example.com" {
		t.Error("the letter case of a mailbox tells persons apart, or is not kept")
	}
	if other := parse(address.Email, "annarossi@example.com"); other.Identity == one.Identity {
		t.Error("dots of a local part are ignored")
	}
	if a := parse(address.URL, "https://example.com/"); a.Identity != "" {
		t.Error("a URL identifies a person")
	}
	if s := fmt.Sprintf("%v %+v %#v", one, one, one); strings.Contains(strings.ToLower(s), "anna") {
		t.Error("an address prints its value")
	}
}

func TestFacts(t *testing.T) {
	for number, country := range map[string]string{
		"+393331234567": "IT", "+390612345678": "IT", "+12025550123": "US", "+14165550123": "CA",
		"+447400123456": "GB", "+447911123456": "GG", "+80012345678": "", "+881612345678": "",
	} {
		if got := address.Phone.FactsOf(number, address.Operators{}).Country; got != country {
			t.Errorf("country of %s: got %q, want %q", number, got, country)
		}
	}
	if got := address.Email.FactsOf("anna@example.com", address.Operators{}); got != (address.Facts{}) {
		t.Errorf("facts of a mailbox: %v", got)
	}
}

func TestFind(t *testing.T) {
	for text, want := range map[string][]string{
		"333-1234567":                                   {"phone:333-1234567"},
		"3331234567":                                    {"phone:3331234567"},
		"tel:+393331234567":                             {"phone:+393331234567"},
		"appt-+393331234567":                            {"phone:+393331234567"},
		"00393331234567":                                {"phone:00393331234567"},
		"0039 333 12.34.567, please":                    {"phone:0039 333 12.34.567"},
		"393331234567":                                  {"phone:393331234567"},
		"cust393331234567":                              {"phone:393331234567"},
		"order-881/393331234567":                        {"phone:393331234567"},
		"+44 (0) 7911 123456":                           {"phone:+44 (0) 7911 123456"},
		"(06) 1234 5678":                                {"phone:06) 1234 5678"},
		"call +1 202-555-0123 or write":                 {"phone:+1 202-555-0123"},
		"＋３９ ３３３ １２３４５６７":                               {"phone:＋３９ ３３３ １２３４５６７"},
		"+٣٩٣٣٣١٢٣٤٥٦٧":                                 {"phone:+٣٩٣٣٣١٢٣٤٥٦٧"},
		"2026-12-01 3331234567":                         {"phone:3331234567"},
		"+393331234567 +393331234568":                   {"phone:+393331234567", "phone:+393331234568"},
		"mailto:anna@example.com":                       {"email:anna@example.com"},
		"Anna <anna.rossi@example.com>":                 {"email:anna.rossi@example.com"},
		"see anna%40example.com":                        {"email:anna%40example.com"},
		"a@b":                                           {"email:a@b"},
		"josé@bücher.example":                           {"email:josé@bücher.example"},
		"a@b c@d.example,":                              {"email:a@b", "email:c@d.example"},
		"dkT9-xQ2abcd:APA91" + strings.Repeat("bX", 40): {"device:dkT9-xQ2abcd:APA91" + strings.Repeat("bX", 40)},

		"order-881":                            nil,
		"":                                     nil,
		"2026-12-01":                           nil,
		"2026-11-30T21:33:45.123456Z":          nil,
		"30/11/2026 21:33":                     nil,
		"20261130213345":                       nil,
		"550e8400-e29b-41d4-a716-446655440000": nil,
		"018f3b1c-0000-7000-8000-393331234567": nil,
		"01ARZ3NDEKTSV4RRFFQ69G5FAV":           nil,
		"INV-2026-0012345":                     nil,
		"4500123456":                           nil, // an order number of a common ERP
		"1796074413":                           nil, // seconds since 1970
		"#1234567":                             nil,
		"SKU 8057432100123 x2":                 nil, // EAN-13
		"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": nil,
		"100 % @ 5":       nil,
		"v1.2.3+45":       nil,
		"192.168.100.200": nil,
	} {
		var got []string
		for _, f := range address.Find(address.Kinds(), text) {
			got = append(got, f.Kind+":"+text[f.Start:f.End])
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestSpelledIn(t *testing.T) {
	for _, c := range []struct {
		kind         address.Kind
		text, normal string
		want         bool
	}{
		{address.Phone, "order 333.12.34.567", "+393331234567", true},
		{address.Phone, "ref-0039-333-1234567-x", "+393331234567", true},
		{address.Phone, "+39 333 123 4568", "+393331234567", false},
		{address.Phone, "911123456", "+447911123456", false},
		{address.Phone, "7911 123456", "+447911123456", true},
		{address.Email, "for ANNA@Example.com!", "anna@example.com", true},
		{address.Email, "anna%40example.com", "Anna@example.com", true},
		{address.Email, "anna@bücher.example", "anna@xn--bcher-kva.example", true},
		{address.Email, "ann@example.com", "anna@example.com", false},
		{address.User, "order of rssmra85t10a562s", "RSSMRA85T10A562S", true},
		{address.User, "order of fiona.user1", "\ufb01ona.user1", true}, // a ligature
		{address.User, "for STRASSE.USER1", "straße.user1", true},
		{address.User, "order-881", "er", false}, // short ones count as words
		{address.User, "order-er-881", "er", true},
		{address.ISSI, "order-12345", "2345", false},
		{address.Device, "x", "", false},
	} {
		if got := c.kind.SpelledIn(c.text, c.normal); got != c.want {
			t.Errorf("%s %q in %q: got %v", c.kind.Name, c.normal, c.text, got)
		}
	}
}

func TestOperators(t *testing.T) {
	table, err := address.NewOperators(map[string]string{"+39333": "One", "+393331": "Two"})
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[string]string{
		"+393321234567": "", "+393330234567": "One", "+393331234567": "Two", "+39": "", "anna@example.com": "", "393331234567": "",
	} {
		if got := table.Of(number); got != want {
			t.Errorf("%s: got %q, want %q", number, got, want)
		}
	}
	if got := (address.Operators{}).Of("+393331234567"); got != "" {
		t.Errorf("an empty table knows %q", got)
	}
	for _, prefix := range []string{"39", "+", "+0", "+39a", "+1234567890123456"} {
		if _, err := address.NewOperators(map[string]string{prefix: "One"}); err == nil {
			t.Errorf("prefix %q was accepted", prefix)
		}
	}
	if _, err := address.NewOperators(map[string]string{"+39": ""}); err == nil {
		t.Error("an operator without a name was accepted")
	}
}

// A kind made elsewhere needs Name and Normalise and nothing here.
func TestKindOfAnotherFolder(t *testing.T) {
	echo := address.Kind{Name: "echo", Normalise: func(s string) (string, error) { return strings.ToUpper(s), nil }}
	a, err := echo.Parse("room 7")
	if err != nil || a != (address.Address{Kind: "echo", Value: "ROOM 7"}) {
		t.Errorf("got %#v, %v", a, err)
	}
	if len(address.Find([]address.Kind{echo}, "ROOM 7")) != 0 || echo.FactsOf("ROOM 7", address.Operators{}) != (address.Facts{}) {
		t.Error("a kind that finds nothing found something")
	}
	if k, ok := address.Named(append(address.Kinds(), echo), "echo"); !ok || k.Name != "echo" {
		t.Error("not found by its name")
	}
}
