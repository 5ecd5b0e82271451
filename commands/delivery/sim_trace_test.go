package delivery_test

import (
	"encoding/json"
	"strings"
	"time"
)

// facts shows what a trace needs of an event: no values of a person.
func facts(data []byte) string {
	var f struct {
		Attempt                        int
		Why, Code, Status, Kind, Basis string
		Reason                         string
		At, Due                        time.Time
		ReceiptID                      string `json:"receipt_id"`
		Notification                   string
		Unit                           int
		ToStep                         int `json:"to_step"`
	}
	if json.Unmarshal(data, &f) != nil {
		return ""
	}
	var b strings.Builder
	add := func(name, v string) {
		if v != "" {
			b.WriteString(" " + name + "=" + v)
		}
	}
	num := func(name string, v int) {
		if v != 0 {
			raw, _ := json.Marshal(v) //nolint:errchkjson // an int
			add(name, string(raw))
		}
	}
	num("attempt", f.Attempt)
	num("unit", f.Unit)
	num("to_step", f.ToStep)
	add("why", f.Why+f.Reason)
	add("code", f.Code)
	add("status", f.Status)
	add("kind", f.Kind)
	add("basis", f.Basis)
	if len(f.ReceiptID) > 4 {
		add("receipt", f.ReceiptID[:4])
	}
	if len(f.Notification) > 4 {
		add("of", f.Notification[:4])
	}
	if !f.At.IsZero() {
		add("at", f.At.Format("15:04:05.000"))
	}
	if !f.Due.IsZero() {
		add("due", f.Due.Format("15:04:05.000"))
	}
	return b.String()
}
