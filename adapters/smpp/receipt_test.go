package smpp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"recapito/adapters/smpp/wire"
	"recapito/domain/receipt"
)

func TestReceiptText(t *testing.T) {
	done := time.Date(2026, 12, 1, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		name, text string
		want       receiptText
	}{
		{"standard", "id:0A1B sub:001 dlvrd:001 submit date:2612010929 done date:2612010930 stat:DELIVRD err:000 text:Your stat:UNDELIV id:9",
			receiptText{"0A1B", "DELIVRD", "000", done, time.Minute}},
		{"seconds", "id:1 submit date:261201092900 done date:261201093005 stat:EXPIRED err:1", receiptText{"1", "EXPIRED", "1", done.Add(5 * time.Second), time.Second}},
		{"four-digit year", "id:1 done date:20261201093000 stat:UNDELIV", receiptText{"1", "UNDELIV", "", done, time.Second}},
		{"other case and order", "STAT:delivrd ERR:12 ID:abc DONE DATE:2612010930", receiptText{"abc", "DELIVRD", "12", done, time.Minute}},
		{"blanks after the colon", "id: 77 stat: REJECTD err: 5 text:", receiptText{"77", "REJECTD", "5", time.Time{}, 0}},
		{"an empty field", "id: sub:001 stat:DELIVRD", receiptText{"", "DELIVRD", "", time.Time{}, 0}},
		{"text first", "text:hello id:3 stat:DELIVRD", receiptText{"3", "DELIVRD", "", time.Time{}, 0}},
		{"commas", "id:3,stat:DELIVRD,err:0", receiptText{"3", "DELIVRD", "0", time.Time{}, 0}},
		{"pipes", "id:1001|sub:001|stat:DELIVRD|err:000", receiptText{"1001", "DELIVRD", "000", time.Time{}, 0}},
		{"quotes", `id:"1001" stat:'DELIVRD' err:"000"`, receiptText{"1001", "DELIVRD", "000", time.Time{}, 0}},
		{"the first of two counts", "id:3 stat:DELIVRD id:4 stat:UNDELIV", receiptText{"3", "DELIVRD", "", time.Time{}, 0}},
		{"not a word of its own", "paid:3 substat:DELIVRD", receiptText{}},
		{"nonsense date", "id:3 done date:9999999999", receiptText{id: "3"}},
		{"nothing", "", receiptText{}},
		{"a NUL at the end", "id:3 stat:DELIVRD\x00", receiptText{"3", "DELIVRD", "", time.Time{}, 0}},
	} {
		if got := parseReceiptText(c.text, time.UTC); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	rome := time.FixedZone("Rome", 3600)
	if got := parseReceiptText("done date:2612010930", rome).done; !got.Equal(done.Add(-time.Hour)) {
		t.Errorf("in Rome: %v", got)
	}
}

func FuzzReceiptText(f *testing.F) {
	f.Add("id:0A1B sub:001 dlvrd:001 submit date:2612010929 done date:2612010930 stat:DELIVRD err:000 text:hello")
	f.Add("ID:\x00 done date: err")
	f.Add(strings.Repeat("id:", 500))
	f.Fuzz(func(t *testing.T, text string) {
		r := parseReceiptText(text, time.UTC)
		for _, v := range []string{r.id, r.stat, r.err} {
			if strings.ContainsAny(v, " \t\r\n,;") || len(v) > 3*maxReceiptText {
				t.Errorf("a field has gaps or is too long")
			}
		}
		if strings.HasSuffix(r.id, "\x00") {
			t.Error("the id ends in NUL")
		}
		again := "id:" + r.id + " stat:" + r.stat + " err:" + r.err
		if r.id != "" && r.stat != "" && r.err != "" && len(again) <= maxReceiptText {
			if got := parseReceiptText(again, time.UTC); got.id != r.id || got.stat != r.stat || got.err != r.err {
				if _, ok := stateNames[r.stat]; ok && !strings.Contains(r.id+r.err, ":") {
					t.Errorf("%+v read again is %+v", r, got)
				}
			}
		}
	})
}

// Receipts that providers send though SMPP 3.4 describes others: each is known as a receipt,
// with its status and code.
func TestReceiptsAsProvidersSendThem(t *testing.T) {
	for name, c := range map[string]struct {
		pdu    string // hexadecimal, the header included
		status receipt.Status
		code   string
	}{
		"message_state without the receipt's esm_class": {"0000009a000000050000000000000001000101333933333331323334353637000500436c696e6963000000000000000000006269643a31303031207375623a30303120646c7672643a303031207375626d697420646174653a3236313133303139313220646f6e6520646174653a3236313133303139313220737461743a44454c49565244206572723a30303020746578743a68690427000102", receipt.Delivered, ""},
		"stat FAILED": {"00000094000000050000000000000001000101333933333331323334353637000500436c696e6963000400000000000000006169643a31303031207375623a30303120646c7672643a303031207375626d697420646174653a3236313133303139313220646f6e6520646174653a3236313133303139313220737461743a4641494c4544206572723a30313720746578743a6869", receipt.Undelivered, "017"},
		"pipes":       {"00000057000000050000000000000001000101333933333331323334353637000500436c696e6963000400000000000000002469643a313030317c7375623a3030317c737461743a44454c495652447c6572723a303030", receipt.Delivered, ""},
	} {
		raw, err := hex.DecodeString(c.pdu)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := wire.ReadFrame(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fields, err := frame.Decode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !isReceipt(fields) {
			t.Errorf("%s: it is no receipt", name)
		}
		r := &Route{o: RouteOptions{Name: "smsc", Location: time.UTC, Now: time.Now}}
		if p := r.parseReceipt(fields); p.Status != c.status || p.Code != c.code || p.ProviderID != "1001" {
			t.Errorf("%s: %s %q of %q, want %s %q", name, p.Status, p.Code, p.ProviderID, c.status, c.code)
		}
	}
}
