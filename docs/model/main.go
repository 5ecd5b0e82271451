// Command deliverymodel explores the model of model.go: see README.md.
package main

import (
	"fmt"
	"hash/maphash"
	"os"
	"strings"
	"time"
	"unsafe"
)

var stName = []string{"-", "scheduled", "dispatched", "unknown", "sent", "undelivered", "delivered", "withdrawn"}

func label(l uint16) string {
	act, n, y := int(l>>8), int(l>>4&15)+1, int(l&15)
	v := []string{"", "accepted", "refused (transient)", "refused (permanent)", "refused (busy)"}
	k := []string{"", "delivered", "undelivered"}
	switch act {
	case aPmQ:
		return fmt.Sprintf("PM dispatches %d", n)
	case aClaim:
		return fmt.Sprintf("worker claims %d", n)
	case aWire:
		if triesMode {
			return fmt.Sprintf("%d part %d on the WIRE, provider: %s", n, y>>3+1, v[y&7])
		}
		return fmt.Sprintf("%d part %d on the WIRE, provider: %s", n, y>>2+1, v[y&3])
	case aAnswer:
		return fmt.Sprintf("answer to %d part %d arrives at the worker", n, y+1)
	case aLostPart:
		return fmt.Sprintf("answer to %d part %d is lost", n, y+1)
	case aGuess:
		return fmt.Sprintf("session of %d part %d breaks, taken for never on the wire", n, y+1)
	case aDone:
		return fmt.Sprintf("worker appends the outcome of %d", n)
	case aEnrich:
		return "PM handles Requested: Enrich"
	case aHand:
		return fmt.Sprintf("local worker claims %d by hand-over", n)
	case aHandClash:
		return fmt.Sprintf("hand-over of %d clashes, reloads", n)
	case aHandGone:
		return fmt.Sprintf("hand-over of %d is dropped", n)
	case aSkip:
		return fmt.Sprintf("PM leaves %d to the hand-over, arms its deadline", n)
	case aDrop:
		return fmt.Sprintf("fence: worker drops %d", n)
	case aResp:
		return fmt.Sprintf("answer of %d arrives, worker appends result", n)
	case aLost:
		return fmt.Sprintf("answer of %d lost, OutcomeUnknown", n)
	case aLate:
		return fmt.Sprintf("late answer of %d", n)
	case aCrashW:
		return fmt.Sprintf("WORKER of %d crashes", n)
	case aReg:
		return fmt.Sprintf("PM registers submission %d part %d", n, y+1)
	case aRcpt:
		return fmt.Sprintf("receipt for %d part %d recorded: %s", n, y>>2+1, k[y&3])
	case aFwd:
		return fmt.Sprintf("PM forwards receipt %s of %d part %d", k[y&3], n, y>>2+1)
	case aFit:
		return fmt.Sprintf("receipt of %d fits exactly one unknown: %d", n, y+1)
	case aFwdFit:
		return fmt.Sprintf("PM confirms %d by receipt of %d", y+1, n)
	case aTime:
		return fmt.Sprintf("limit of %d passes", n)
	case aWatch:
		return fmt.Sprintf("watchdog %d fires (%s)", n, []string{"scheduled: dispatch again", "dispatched, before the wire limit", "past the wire limit: Unknown", "sent/unknown"}[y])
	case aCancel:
		return "CANCEL accepted"
	case aExpT:
		return "expires_at passes"
	case aExpire:
		return "Expired"
	case aExpRefused:
		return "expiry deadline refused in_flight"
	case aCrashP:
		return "PM crashes, replays"
	case aWipe:
		return "QUEUE wiped"
	case aDue:
		return fmt.Sprintf("%d is due", n)
	case aPerson:
		return fmt.Sprintf("a person decides on %d: %s", n, []string{"", "resend", "give up"}[y])
	case aLoad:
		return fmt.Sprintf("worker %d loads %d", y+1, n)
	case aClash:
		return fmt.Sprintf("worker %d clashes on %d, reloads", y+1, n)
	case aWithdraw:
		return "the consent is WITHDRAWN"
	case aOpens:
		return "the window opens"
	case aGuard:
		return fmt.Sprintf("worker %d reads the guard for %d", y+1, n)
	case aForbid:
		return fmt.Sprintf("worker %d: the guard forbids %d, suppressed", y+1, n)
	case aPostpone:
		return fmt.Sprintf("worker %d postpones %d until the window opens", y+1, n)
	case aAckGo:
		return fmt.Sprintf("worker: %d not to be sent now, ack", n)
	}
	return "?"
}
func show(s *State) string {
	var b strings.Builder
	for i := 0; i < int(s.N); i++ {
		fmt.Fprintf(&b, "%d(%c)=%s ", i+1, s.A[i].Chan, stName[s.A[i].St])
	}
	for _, f := range []struct {
		b uint8
		n string
	}{{s.Reached, "reached"}, {s.Exh, "exhausted"}, {s.Canc, "cancelled"}, {s.Exp, "expired"}, {s.Sup, "suppressed"}} {
		if f.b != 0 {
			b.WriteString(f.n + " ")
		}
	}
	return b.String()
}

var triesMode bool

type found struct {
	v    string
	from int32
	lab  uint16
	end  State
}

// print128 stands for a state that was met. Two states of a run of 10⁸ share one with a
// probability below 10⁻²².
type print128 [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func fingerprint(s *State) print128 {
	b := unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s)) // bytes only: nothing between them
	return print128{maphash.Bytes(seeds[0], b), maphash.Bytes(seeds[1], b)}
}

// queue holds the states that are yet to be explored, in order. Explored ones are dropped.
type queue struct {
	now, next []State
	at        int
}

func (q *queue) take() State {
	if q.at == len(q.now) {
		q.now, q.next, q.at = q.next, q.now[:0], 0
	}
	q.at++
	return q.now[q.at-1]
}

func run(c Cfg) {
	if c.Parts == 0 {
		c.Parts = 1
	}
	if c.Wanted == 0 {
		c.Wanted = DELIV
	}
	if c.MaxStates == 0 {
		c.MaxStates = 150_000_000
	}
	t0 := time.Now()
	var init State
	init.Cur = 1
	if c.Guard {
		init.Closed = 1
	}
	init.CrashW, init.CrashP, init.Wipe, init.Rc = c.CrashW, c.CrashP, c.Wipe, c.Rc
	x := ctx{c: &c}
	triesMode = c.Tries > 0
	if c.owesEnrich() {
		init.PmReq = 1
	}
	if !c.Gather {
		init.Planned = 1
		for _, ch := range c.Steps[0] {
			x.schedule(&init, 1, uint8(ch), -1, 0)
		}
	}
	ids := map[print128]int32{fingerprint(&init): 0}
	states := queue{next: []State{init}}
	parent := []int32{-1}
	labs := []uint16{0}
	var ef, et []int32 // fair edges
	seen := map[string]found{}
	var order []string
	note := func(v string, from int32, l uint16, end *State) {
		if _, ok := seen[v]; !ok {
			seen[v] = found{v, from, l, *end}
			order = append(order, v)
		}
	}
	var buf []succ
	sinks, orphans, trunc := 0, 0, false
	var trans int
	for i := 0; i < len(parent); i++ {
		s := states.take()
		buf = successors(&c, &s, buf[:0])
		fair := false
		for j := range buf {
			e := &buf[j]
			trans++
			for _, v := range e.v {
				note(v, int32(i), e.lab, &e.s)
			}
			if e.s == s {
				continue
			}
			f := fingerprint(&e.s)
			id, ok := ids[f]
			if !ok {
				id = int32(len(parent))
				ids[f] = id
				states.next = append(states.next, e.s)
				parent = append(parent, int32(i))
				labs = append(labs, e.lab)
			}
			if e.fair {
				fair = true
				ef = append(ef, int32(i))
				et = append(et, id)
			}
		}
		if !fair {
			sinks++
			vs, o := quiet(&c, &s)
			if o {
				orphans++
			}
			for _, v := range vs {
				note(v, int32(i), 0xffff, &s)
			}
		}
		if len(parent) > c.MaxStates {
			trunc = true
			break
		}
	}
	// fair steps must not go round for ever
	cyc := 0
	if !trunc {
		n := len(parent)
		in := make([]int32, n)
		start := make([]int32, n+1)
		for _, f := range ef {
			start[f+1]++
		}
		for i := 0; i < n; i++ {
			start[i+1] += start[i]
		}
		for _, t := range et {
			in[t]++
		}
		q := make([]int32, 0, n)
		for i := range in {
			if in[i] == 0 {
				q = append(q, int32(i))
			}
		}
		for h := 0; h < len(q); h++ {
			for e := start[q[h]]; e < start[q[h]+1]; e++ {
				if in[et[e]]--; in[et[e]] == 0 {
					q = append(q, et[e])
				}
			}
		}
		cyc = n - len(q)
	}
	fmt.Printf("== %s: %d states, %d transitions, %d quiet (%d with a listed orphan), fair cycles %d%s, %.1fs\n", c.Name, len(parent), trans, sinks, orphans, cyc,
		map[bool]string{true: " TRUNCATED"}[trunc], time.Since(t0).Seconds())
	if len(order) == 0 {
		fmt.Println("   holds")
	}
	for _, v := range order {
		f := seen[v]
		fmt.Println("   VIOLATION", v)
		var tr []string
		if f.lab != 0xffff {
			tr = append(tr, label(f.lab))
		}
		for i := f.from; parent[i] >= 0; i = parent[i] {
			tr = append(tr, label(labs[i]))
		}
		for i := len(tr) - 1; i >= 0; i-- {
			fmt.Println("       ", tr[i])
		}
		fmt.Println("        =>", show(&f.end))
	}
}

func main() {
	want := ""
	if len(os.Args) > 1 {
		want = os.Args[1]
	}
	if strings.HasPrefix(want, "r") {
		reuse(want)
		return
	}
	all := configs()
	if want != "" {
		all = append(all, variants()...)
	}
	for _, c := range all {
		if strings.HasPrefix(c.Name, want) {
			run(c)
		}
	}
}
