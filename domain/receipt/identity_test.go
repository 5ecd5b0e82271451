package receipt_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	_ "recapito/domain/domaintest/seeds"
	"recapito/domain/receipt"
)

func TestCanonicalIDs(t *testing.T) {
	for _, c := range []struct {
		form      receipt.Form
		raw       string
		submitted []string
		reported  string
	}{
		{receipt.Text, "Ab-12_x.y", []string{"ab-12_x.y"}, "ab-12_x.y"},
		{receipt.Text, " 0012\x00\x00", []string{"0012"}, "0012"},
		{receipt.Text, "a/b c", []string{"a%2fb%20c"}, "a%2fb%20c"},
		{receipt.Text, "é", []string{"%c3%a9"}, "%c3%a9"},
		{receipt.Hex, "001A", []string{"26"}, "26"},
		{receipt.Hex, "1a\x00", []string{"26"}, "26"},
		{receipt.Hex, "xyz", []string{"xyz"}, "xyz"},
		{receipt.Decimal, "0026", []string{"26"}, "26"},
		{receipt.Decimal, "1A", []string{"1a"}, "1a"},
		{receipt.Decimal, "-5", []string{"-5"}, "-5"},
		// Longer than any machine word.
		{receipt.Decimal, "00123456789012345678901234567890", []string{"123456789012345678901234567890"}, "123456789012345678901234567890"},
		{receipt.Either, "1A", []string{"26"}, "26"},
		// In digits alone the base cannot be seen: both readings.
		{receipt.Either, "10", []string{"10", "16"}, "10"},
		{receipt.Either, "7", []string{"7"}, "7"},
		{receipt.Either, "x-9", []string{"x-9"}, "x-9"},
	} {
		submitted := c.form.SubmissionIDs(c.raw)
		if !slices.Equal(submitted, c.submitted) {
			t.Errorf("%s %q is registered under %q, want %q", c.form, c.raw, submitted, c.submitted)
		}
		if got := c.form.ReceiptID(c.raw); got != c.reported {
			t.Errorf("%s %q is recorded under %q, want %q", c.form, c.raw, got, c.reported)
		}
	}
}

// Whatever the provider writes, a route whose form is known finds its submission.
func TestAReceiptFindsItsSubmission(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "id")
		zeros := strings.Repeat("0", rapid.IntRange(0, 5).Draw(t, "zeros"))
		decimal, hex := zeros+strconv.FormatUint(n, 10), zeros+strconv.FormatUint(n, 16)
		if rapid.Bool().Draw(t, "upper case") {
			hex = strings.ToUpper(hex)
		}
		for _, c := range []struct {
			form             receipt.Form
			submit, reported string
		}{
			{receipt.Decimal, decimal, strconv.FormatUint(n, 10)}, {receipt.Hex, hex, strconv.FormatUint(n, 16)},
			{receipt.Text, hex, hex}, {receipt.Either, hex, decimal}, {receipt.Either, hex, hex}, {receipt.Either, decimal, decimal},
		} {
			if !slices.Contains(c.form.SubmissionIDs(c.submit), c.form.ReceiptID(c.reported)) {
				t.Errorf("%s: submitted as %q, reported as %q", c.form, c.submit, c.reported)
			}
		}
		raw := rapid.String().Draw(t, "raw")
		for _, form := range []receipt.Form{receipt.Text, receipt.Hex, receipt.Decimal, receipt.Either} {
			id := form.ReceiptID(raw)
			if len(id) > 100 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }) {
				t.Errorf("%s: %q is no name for a stream", form, id)
			}
			if !slices.Contains(form.SubmissionIDs(raw), id) {
				t.Errorf("%s: %q, reported as submitted, is not found", form, raw)
			}
		}
	})
	long := strings.Repeat("9", 1000)
	if receipt.Decimal.ReceiptID(long) == receipt.Decimal.ReceiptID(long+"9") {
		t.Error("two long ids share a stream")
	}
}

func TestReceiptIdentity(t *testing.T) {
	id := func(change func(fields []string), done time.Time) string {
		f := []string{"smsc", "1A", "token", "delivered", "000"}
		change(f)
		return receipt.ID(f[0], f[1], f[2], receipt.Status(f[3]), f[4], done)
	}
	same := func([]string) {}
	first := id(same, noon)
	if again := id(same, noon.In(time.FixedZone("", 3600))); again != first {
		t.Error("the same report delivered again is another receipt")
	}
	others := []string{first, id(same, noon.Add(time.Second))}
	for i := range 5 {
		others = append(others, id(func(f []string) { f[i] += "x" }, noon))
	}
	slices.Sort(others)
	if len(slices.Compact(others)) != 7 {
		t.Error("two reports share an identity")
	}
	// Unit of the storage format: a report delivered again after an update is the same one.
	if first != "cc6b2f9d-56e8-568e-8568-53144ee1ae2f" {
		t.Error(first)
	}
}

func TestReference(t *testing.T) {
	n, attempt, ok := receipt.ParseReference(receipt.Reference("0198-n", 12))
	if !ok || n != "0198-n" || attempt != 12 {
		t.Error(n, attempt, ok)
	}
	for _, bad := range []string{"", "n", "n/", "/1", "n/0", "n/-1", "n/x", "n/1x", "n/1/1", "n/1 "} {
		if _, _, ok := receipt.ParseReference(bad); ok {
			t.Errorf("%q is taken for a reference", bad)
		}
	}
}
