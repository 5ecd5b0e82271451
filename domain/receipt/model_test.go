package receipt_test

import (
	"fmt"
	"testing"
	"time"

	"recapito/domain/receipt"
)

// modelled is one case of the model's rule (docs/model, reuse.go, r15; r9 where
// the route's ids come back): two submissions
// under one id, a receipt of one of them, all on a small grid of times.
type modelled struct {
	w, k       int
	accepted   [2]int
	registered [2]bool
	received   int
	readable   bool
	same       bool // both submissions have one destination
	of         int  // whose receipt it is
	reused     bool // the route's ids come back
}

const nothing, several = -1, -2

// decide is the model's own rule, once no submission may still register.
func (m modelled) decide() int {
	equal := func(i int) bool { return m.readable && (m.same || i == m.of) }
	var open, eq []int
	for i := range m.accepted {
		if !m.registered[i] || m.received < m.accepted[i]-m.k || m.received > m.accepted[i]+m.w || m.readable && !equal(i) {
			continue
		}
		open = append(open, i)
		if equal(i) {
			eq = append(eq, i)
		}
	}
	if len(open) == 0 {
		return nothing
	}
	if m.reused && m.unregistered() > 0 {
		return several
	}
	if len(open) == 1 && len(eq) == 0 {
		if m.reused {
			return nothing
		}
		return open[0]
	}
	if len(eq) == 1 {
		return eq[0]
	}
	return several
}

// unregistered counts the attempts of the receipt's token that were dispatched by then.
func (m modelled) unregistered() (n int) {
	for i := range m.accepted {
		if !m.registered[i] && m.accepted[i] <= m.received && m.readable && (m.same || i == m.of) {
			n++
		}
	}
	return n
}

// The aggregate decides as the model does, for every case of the grid and whether the
// receipt is recorded before, between or after the submissions.
func TestDecidesAsTheModel(t *testing.T) {
	hours := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }
	outcomes := map[int]int{}
	check := func(m modelled, place int) {
		token := func(i int) string {
			if m.same {
				return "one"
			}
			return fmt.Sprint("destination ", i)
		}
		var s receipt.State
		do := func(c receipt.Command) {
			events, err := receipt.Decide(s, c)
			if err != nil {
				t.Fatal(err)
			}
			s = receipt.Decider.Fold(s, events...)
		}
		record := receipt.RecordReceipt{Window: time.Duration(m.w) * time.Hour, Receipt: receipt.Receipt{ID: "r", ReceivedAt: hours(m.received)}}
		if m.readable {
			record.Tokens, record.Complete = []receipt.Token{{Key: "key", Token: token(m.of)}}, true
		}
		matching := receipt.MatchReceipt{ReceiptID: "r", Unregistered: m.unregistered(), Reused: m.reused}
		for i := range 3 {
			if i == place {
				do(record)
			}
			if i == 2 || !m.registered[i] {
				continue
			}
			do(receipt.RegisterSubmission{Submission: receipt.Submission{
				Notification: fmt.Sprint(i), Attempt: 1, Unit: 1, Token: token(i), TokenKey: "key", AcceptedAt: hours(m.accepted[i]),
				OpenFrom: hours(m.accepted[i] - m.k), OpenUntil: hours(m.accepted[i] + m.w),
			}})
		}
		events, err := receipt.Decide(s, matching)
		got := nothing
		for _, e := range events {
			switch e := e.(type) {
			case receipt.ReceiptMatched:
				_, err = fmt.Sscan(e.Notification, &got)
			case receipt.ReceiptAmbiguous:
				got = several
			case receipt.SubmissionRegistered, receipt.ReceiptRecorded, receipt.ProviderIDReused:
				t.Fatalf("%T", e)
			}
		}
		if want := m.decide(); err != nil || got != want || len(events) > 1 {
			t.Fatalf("%+v, recorded at place %d: %d (%v), the model decides %d", m, place, got, err, want)
		}
		outcomes[got]++
	}
	yesNo := []bool{false, true}
	for w := range 4 {
		for k := range 2 {
			for apart := range 5 {
				for received := -1; received < 8; received++ {
					for bits := range 64 {
						m := modelled{
							w: w, k: k, accepted: [2]int{0, apart}, received: received, readable: yesNo[bits&1], same: yesNo[bits>>1&1],
							of: bits >> 2 & 1, registered: [2]bool{yesNo[bits>>3&1], yesNo[bits>>4&1]}, reused: yesNo[bits>>5&1],
						}
						for place := range 3 {
							check(m, place)
						}
					}
				}
			}
		}
	}
	for _, o := range []int{nothing, several, 0, 1} {
		if outcomes[o] == 0 {
			t.Errorf("outcome %d never came: %v", o, outcomes)
		}
	}
}
