// Explicit-state model of recapito's delivery protocol (docs/architecture.md), one notification.
// State = folded notification + receipt streams + queue + workers + provider. Every append is atomic
// (exact revision, clash -> reload); the process manager's inputs are pending bits, handled in any order
// and again after a crash; deadlines may fire at any moment their limit has passed, or again later.
package main

const ( // status of an attempt, in rank order; withdrawn apart from them
	NONE = iota
	SCHED
	DISP
	UNK
	SENT
	UNDEL
	DELIV
	WITHD
)
const ( // receipts
	rDEL   = 1
	rUNDEL = 2
)
const ( // pipeline of one receipt
	pRECORDED = 1 // on its receipt stream, acknowledged to the provider
	pMATCHED  = 2 // ReceiptMatched is there, the process manager has not forwarded it
	pDONE     = 3 // forwarded; on the notification (raised it, or kept)
)
const ( // worker that claimed the attempt
	wNONE   = 0
	wCLAIM  = 1 // Dispatched durable, nothing on the wire
	wPART1  = 2 // first part of two on the wire
	wWAIT   = 3 // all on the wire, waiting for the answer
	wLOST   = 4 // OutcomeUnknown is appended; the answer may still come
	vACC    = 1
	vTRANS  = 2
	vPERM   = 3
	vBUSY   = 4
	tTODO   = 0 // part as its worker knows it (tries within a claim): never on the wire
	tWIRE   = 1 // on the wire, not answered
	tACC    = 2
	tBUSY   = 3 // refused as busy: may be tried again
	tREF    = 4 // refused for good
	tLOST   = 5 // may have been on the wire, no answer came
	maxAtts = 4
	kRETRY  = 1
	kRESEND = 2
)

type Rcpt struct {
	K, P uint8
	Seen uint8 // the notification has accounted for it
	F    uint8 // matched by fit: 0 no, n+1 pending, 0x80 done
}
type Part struct {
	Wire, V uint8 // times on the wire; the provider's verdict
	T       uint8 // what its worker knows
	Id, Sub uint8 // id durable on the notification; submission registered on the receipt stream
	St      uint8 // as the notification knows it: 0, rDEL, rUNDEL
	R       [2]Rcpt
}
type Att struct {
	St, Step, Chan uint8
	Kind           uint8 // 0 first try, retry, resend
	Of, Repl       uint8 // predecessor / successor, index+1
	Over           uint8 // limit of its present status has passed
	PmQ, Q         uint8 // process manager owes a dispatch; message on the queue
	Due            uint8
	Fenced         uint8 // the wire limit has passed since Dispatched, so the worker's fence is shut
	W              uint8
	H              uint8    // handed to a local worker: 1 with the state as appended, 2 overtaken since
	Ld             [2]uint8 // racing workers: 1 loaded, 2 loaded and since overtaken
	Gd             [2]uint8 // what their claim guard read: 1 allow, 2 forbid, 3 reschedule
	Bg             [2]uint8 // the consent's withdrawal was acknowledged before their claim began
	WD             uint8    // literal watchdog only: 1 armed, 2 consumed
	P              [2]Part
}
type State struct {
	A                             [maxAtts]Att
	N, Cur                        uint8
	Reached, Exh, Canc, Exp, ExpT uint8
	ExpGone                       uint8 // literal expiry: deadline used up
	CrashW, CrashP, Wipe, Rc      uint8
	Wd, Closed, Sup, Forbid       uint8 // withdrawal acknowledged; window closed; suppressed; a guard forbade
	Planned, PmReq                uint8 // steps are planned; the process manager owes Requested an Enrich
}

type Cfg struct {
	Name             string
	Steps            []string // channels of each step
	Parts            int
	Wanted           uint8
	Retries, Resends int
	Policy           string // wait, resend, hold
	Refuse           bool   // provider may refuse
	Loss             bool   // responses may be lost
	Ref              bool   // receipts carry our reference: matched when recorded
	Fit              string // "", literal, fixed : receipts that match nothing may confirm an unknown
	CrashW, CrashP   uint8
	Wipe, Rc         uint8
	Cancel, Expiry   bool
	// readings
	WDLiteral        bool // watchdog re-armed only when found scheduled
	FailAny          bool // first attempt that waited too long fails the step over
	NoWithdraw       bool // wanted status reached does not withdraw what is scheduled
	ExpLiteral       bool // expiry refused in flight is gone; claim and schedule do not look at expires_at
	InFlightAlways   bool // an unknown past its limit still refuses cancel and expiry
	LeakyFence       bool
	NoDue            bool // claim does not look at due
	NoSeen           bool // ReceiptMatched has no identity on the notification
	LateIdsLost      bool // a Sent that cannot raise is not recorded
	RetryLiteral     bool // transient refusal always Retried, though a resend was scheduled / step left / wanted reached
	CancelParts      bool // cancel and expiry look at the status only, not at parts still to go
	OpenLiteral      bool // final: no attempt sent or unknown without result either
	PartialLost      bool // ids of accepted parts are not recorded when another part failed
	NoWithdrawResend bool
	DropSilent       bool  // fence drops without an event
	Part2Fence       bool  // fence before every part
	HoldUndel        bool  // an undelivered receipt does not raise an attempt still dispatched
	Racing           bool  // two workers load and append separately, at the exact revision
	NoRevision       bool  // sanity: append without expected revision
	Down             uint8 // a channel that never takes anything
	SchedLimit       bool  // an attempt not sent within its limit is withdrawn by its watchdog
	MatchOnce        bool  // only the first pair emits ReceiptMatched
	MaxStates        int
	// tries within a claim
	Tries      uint8 // times that a part may be put on the wire in one claim; 0: the old worker
	LostAtOnce bool  // OutcomeUnknown as soon as one part's answer is lost, while others are still tried
	LostAccLit bool  // permanent only if another part was accepted (not: may have been)
	UnkNoIds   bool  // OutcomeUnknown does not carry the ids of accepted parts
	WireGuess  bool  // a broken session is taken for never on the wire
	LeakyTries bool  // the fence is looked at before a part's first try only
	// the claim guard (with Racing): the consent may be withdrawn at any time, the window is closed at first
	Guard      bool
	GuardBlind bool // the guard is not read
	GuardStep  bool // a guard that forbids withdraws its attempt only, which counts as failed
	// planned at intake, hand-over
	AtIntake, Gather bool // planned in the request's append and handed over; planned by the process manager
	EnrichBlind      bool // Enrich does not look whether it is planned
	SkipNoWatch      bool // the process manager leaves a handed attempt alone, deadline too
	HandBlind        bool // a handed attempt is claimed without the exact revision
	HandNoDue        bool // a handed attempt's claim does not look at expires_at
}

// an Enrich of what is planned decides nothing, so where it is planned at intake it need not be explored
func (c *Cfg) owesEnrich() bool { return c.Gather || c.EnrichBlind }

func (s *State) over() bool { return s.Reached|s.Exh|s.Canc|s.Exp|s.Sup != 0 }

type ctx struct {
	c *Cfg
	v []string // violations of this transition
}

func (x *ctx) bad(v string) { x.v = append(x.v, v) }

// ---------- decide
func (x *ctx) schedule(s *State, step, ch uint8, of int, kind uint8) {
	if s.Reached != 0 {
		x.bad("P6 scheduled after the wanted status was reached")
	}
	if s.Canc|s.Exp != 0 {
		x.bad("P7 scheduled after cancel/expiry")
	}
	if s.Forbid != 0 {
		x.bad("P16 scheduled after a claim guard forbade")
	}
	if int(s.N) >= maxAtts {
		x.bad("MODEL too many attempts")
		return
	}
	i := s.N
	s.N++
	a := &s.A[i]
	*a = Att{St: SCHED, Step: step, Chan: ch, PmQ: 1, Due: 1, WD: 1}
	a.Kind = kind
	if kind == kRETRY {
		a.Due = 0
	}
	if x.c.AtIntake && step == 1 && kind == 0 && of < 0 {
		a.H = 1
	}
	if kind == 0 {
		for j := 0; j < int(i); j++ {
			if o := &s.A[j]; o.Step == step && o.Chan == ch && o.Kind == 0 {
				x.bad("P15 a step was planned twice")
			}
		}
	}
	if kind == kRETRY && of >= 0 {
		for _, p := range s.A[of].P {
			if p.V == vACC {
				x.bad("P12 retried although a part of it was accepted by the provider")
			}
		}
	}
	if of >= 0 {
		a.Of = uint8(of + 1)
		if r := s.A[of].Repl; r != 0 {
			x.bad("P9 an attempt got two successors (retry and resend)")
		}
		s.A[of].Repl = i + 1
	}
}

// retries and resends so far, of the notification (the bound of the model)
func tries(s *State) (retries, resends int) {
	for i := 0; i < int(s.N); i++ {
		switch s.A[i].Kind {
		case kRETRY:
			retries++
		case kRESEND:
			resends++
		}
	}
	return
}
func (x *ctx) done(a *Att) bool {
	switch a.St {
	case WITHD, UNDEL, DELIV:
		return true
	case UNK:
		return a.Repl != 0 || a.Over != 0
	case SENT:
		return a.Over != 0
	}
	return false
}
func (x *ctx) settle(s *State) {
	if s.over() {
		return
	}
	for i := 0; i < int(s.N); i++ {
		if s.A[i].Step == s.Cur && !x.done(&s.A[i]) {
			return
		}
	}
	x.failover(s)
}
func (x *ctx) failover(s *State) {
	if s.Reached != 0 {
		x.bad("P6 failed over/exhausted after the wanted status was reached")
	}
	if int(s.Cur) < len(x.c.Steps) {
		if !x.c.ExpLiteral && s.ExpT != 0 {
			s.Exp = 1
			return
		}
		s.Cur++
		for _, ch := range x.c.Steps[s.Cur-1] {
			x.schedule(s, s.Cur, uint8(ch), -1, 0)
		}
		return
	}
	s.Exh = 1
}
func (x *ctx) reach(s *State) {
	s.Reached = 1
	if x.c.NoWithdraw {
		return
	}
	withdrawAll(s)
}
func withdrawAll(s *State) {
	for i := 0; i < int(s.N); i++ {
		if s.A[i].St == SCHED {
			s.A[i].St = WITHD
		}
	}
}
func (x *ctx) unknown(s *State, n int) {
	a := &s.A[n]
	if a.St != DISP {
		return
	}
	a.St, a.Over = UNK, 0
	if x.heldUndel(s, n) {
		return
	}
	_, rs := tries(s)
	if x.c.Policy == "resend" && !s.over() && a.Step == s.Cur && a.Repl == 0 && rs < x.c.Resends && (x.c.ExpLiteral || s.ExpT == 0) {
		x.schedule(s, a.Step, a.Chan, n, kRESEND)
	}
}
func (x *ctx) sent(s *State, n int) {
	a := &s.A[n]
	if a.St > SENT && x.c.LateIdsLost {
		return
	}
	for p := 0; p < x.c.Parts; p++ {
		a.P[p].Id = 1
	}
	if a.St < SENT {
		a.St, a.Over = SENT, 0
		if x.c.Wanted == SENT {
			x.reach(s)
		}
	}
	if r := a.Repl; r != 0 && s.A[r-1].St == SCHED && !x.c.NoWithdrawResend && a.St != UNDEL {
		s.A[r-1].St = WITHD
	}
	x.heldUndel(s, n)
}
func (x *ctx) refused(s *State, n int, transient bool) {
	a := &s.A[n]
	if a.St >= UNDEL {
		return
	}
	a.St = UNDEL
	rt, _ := tries(s)
	if transient && rt < x.c.Retries {
		if x.c.RetryLiteral || (!s.over() && a.Step == s.Cur && a.Repl == 0 && (x.c.ExpLiteral || s.ExpT == 0)) {
			x.schedule(s, a.Step, a.Chan, n, kRETRY)
		}
	}
	x.settle(s)
}
func (x *ctx) confirm(s *State, n, p int, k uint8) {
	a := &s.A[n]
	pt := &a.P[p]
	if pt.St != rDEL {
		pt.St = k
	}
	if k == rDEL {
		for q := 0; q < x.c.Parts; q++ {
			if a.P[q].St != rDEL {
				return // kept, part by part
			}
		}
		if a.St < DELIV {
			a.St = DELIV
			x.reach(s)
		}
		return
	}
	if a.St < UNDEL && !(x.c.HoldUndel && a.St == DISP) {
		a.St = UNDEL
		x.settle(s)
	}
}

// an undelivered receipt that waited for the attempt's own result counts now
func (x *ctx) heldUndel(s *State, n int) bool {
	a := &s.A[n]
	for p := 0; p < x.c.Parts; p++ {
		if x.c.HoldUndel && a.P[p].St == rUNDEL && a.St < UNDEL {
			a.St = UNDEL
			x.settle(s)
			return true
		}
	}
	return false
}
func (x *ctx) inFlight(s *State) bool {
	for i := 0; i < int(s.N); i++ {
		a := &s.A[i]
		if a.St == DISP {
			return true
		}
		if a.St == UNK && (x.c.InFlightAlways || a.Over == 0 && a.Repl == 0 && a.Step == s.Cur) {
			return true
		}
		if !x.c.CancelParts && (a.W == wPART1) {
			return true // parts still to go
		}
	}
	return false
}

func (x *ctx) claim(s *State, n int) {
	a := &s.A[n]
	if a.P[0].Wire|a.P[1].Wire != 0 || a.W != wNONE {
		x.bad("P1 attempt claimed twice")
	}
	a.St, a.W, a.Q, a.Over = DISP, wCLAIM, 0, 0
	if s.Reached != 0 {
		x.bad("P6 dispatched after the wanted status was reached")
	}
	if s.Canc|s.Exp != 0 {
		x.bad("P7 dispatched after an accepted cancel/expiry")
	}
	if s.ExpGone != 0 {
		x.bad("P10 dispatched after an expiry that was refused")
	} else if s.ExpT != 0 && !x.c.Racing { // racing: decided when loaded, and the revision had not moved
		x.bad("P10 dispatched after expires_at")
	}
	if a.Due == 0 {
		x.bad("P10 dispatched before it is due")
	}
	if a.Of != 0 {
		if o := s.A[a.Of-1].St; o == SENT || o == DELIV {
			x.bad("P8 resend dispatched although the first is known sent")
		}
	}
}

// has the notification's revision moved
func moved(s, t *State) bool {
	if s.N != t.N || s.Cur != t.Cur || s.Reached != t.Reached || s.Exh != t.Exh || s.Canc != t.Canc || s.Exp != t.Exp || s.Sup != t.Sup {
		return true
	}
	for i := range s.A {
		a, b := &s.A[i], &t.A[i]
		if a.St != b.St || a.Due > b.Due { // claimed, postponed
			return true
		}
		for p := range a.P {
			if a.P[p].Id != b.P[p].Id || a.P[p].R[0].Seen != b.P[p].R[0].Seen || a.P[p].R[1].Seen != b.P[p].R[1].Seen {
				return true
			}
		}
	}
	return false
}

// ---------- all steps
type succ struct {
	s    State
	lab  uint16
	fair bool
	v    []string
}

const (
	aPmQ = iota
	aClaim
	aWire
	aDrop
	aResp
	aLost
	aLate
	aCrashW
	aReg
	aRcpt
	aFwd
	aFit
	aFwdFit
	aTime
	aWatch
	aCancel
	aExpT
	aExpire
	aExpRefused
	aCrashP
	aWipe
	aDue
	aAckGo
	aPerson
	aLoad
	aClash
	aSchedOver
	aAnswer
	aLostPart
	aGuess
	aDone
	aEnrich
	aHand
	aHandClash
	aHandGone
	aSkip
	aWithdraw
	aOpens
	aGuard
	aForbid
	aPostpone
)

func lab(act, n, y int) uint16 { return uint16(act<<8 | n<<4 | y) }

func successors(c *Cfg, s0 *State, out []succ) []succ {
	var x ctx
	x.c = c
	emit := func(s *State, l uint16, fair bool) {
		if *s == *s0 && len(x.v) == 0 {
			return
		}
		if c.Racing && moved(s0, s) {
			for i := range s.A {
				for w, l := range s.A[i].Ld {
					if l == 1 {
						s.A[i].Ld[w] = 2
					}
				}
			}
		}
		if c.AtIntake && moved(s0, s) {
			for i := range s.A {
				if s.A[i].H == 1 && s0.A[i].H == 1 {
					s.A[i].H = 2
				}
			}
		}
		for i := 0; i < int(s.N); i++ { // normal form
			a := &s.A[i]
			if a.St != SCHED {
				a.Q, a.PmQ = 0, 0
				if a.H == 1 && !c.HandBlind {
					a.H = 2
				}
				if a.St != WITHD && a.Due == 0 {
					a.Due = 1
				}
			}
			if a.W != wCLAIM && a.W != wPART1 {
				a.Fenced = 0
			}
			if a.St != UNK && a.St != SENT && a.St != SCHED {
				a.Over = 0
			}
			if c.Tries > 0 && (a.W == wNONE || a.W == wLOST) && a.St > SCHED && a.St != WITHD { // the claim is over
				for p := 0; p < c.Parts; p++ {
					pp := &a.P[p]
					pp.Wire = min(pp.Wire, 1)
					if a.W == wNONE && pp.V != vACC {
						pp.V = 0
					}
					if a.W == wNONE && (pp.T != tACC || pp.Id != 0) {
						pp.T = tTODO
					}
				}
			}
			o := s0.A[i].St
			if o != a.St && o != NONE && (a.St == WITHD && o != SCHED || o == WITHD || a.St != WITHD && a.St < o) {
				x.bad("P2 status fell")
			}
			if a.St == DELIV && o != DELIV {
				for p := 0; p < c.Parts; p++ {
					if r := a.P[p].R; r[0].K != rDEL && r[1].K != rDEL {
						x.bad("P3 attempt Delivered, but no delivered receipt of its own was ever received")
					}
				}
			}
		}
		out = append(out, succ{*s, l, fair, x.v})
		x.v = nil
	}
	for n := 0; n < int(s0.N); n++ {
		a0 := &s0.A[n]
		if a0.PmQ != 0 {
			s := *s0
			s.A[n].PmQ, s.A[n].Q = 0, 1
			if a0.Due == 0 { // back-off deadline: the dispatch waits for it
			} else {
				emit(&s, lab(aPmQ, n, 0), true)
			}
		}
		if a0.PmQ != 0 && c.AtIntake && a0.Step == 1 && a0.Kind == 0 {
			s := *s0
			s.A[n].PmQ = 0
			if c.SkipNoWatch {
				s.A[n].WD = 2
			}
			emit(&s, lab(aSkip, n, 0), false)
		}
		if a0.H != 0 {
			s := *s0
			s.A[n].H = 0
			emit(&s, lab(aHandGone, n, 0), false) // the instance died, or has no room
			s = *s0
			switch {
			case a0.H == 2 && !c.HandBlind:
				s.A[n].H = 0
				if a0.St == SCHED {
					s.A[n].H = 1
				}
				emit(&s, lab(aHandClash, n, 0), true)
			case !c.HandNoDue && (s0.ExpT != 0 || a0.Due == 0):
				s.A[n].H = 0
				emit(&s, lab(aHandGone, n, 0), true)
			case a0.Chan == c.Down && c.Down != 0:
			default:
				s.A[n].H = 0
				x.claim(&s, n)
				emit(&s, lab(aHand, n, 0), true)
			}
		}
		if a0.Due == 0 && s0.Closed == 0 {
			s := *s0
			s.A[n].Due = 1
			emit(&s, lab(aDue, n, 0), true)
		}
		blocked := !c.ExpLiteral && s0.ExpT != 0 || !c.NoDue && a0.Due == 0
		if a0.Q != 0 && a0.St == SCHED {
			s := *s0
			a := &s.A[n]
			if blocked {
				a.Q = 0
				emit(&s, lab(aAckGo, n, 0), true)
			} else if a.Chan == c.Down && c.Down != 0 {
			} else if c.Racing {
				for w := range a.Ld {
					if a0.Ld[w] == 0 {
						t := s
						t.A[n].Ld[w] = 1
						t.A[n].Bg[w] = s0.Wd
						emit(&t, lab(aLoad, n, w), true)
						break
					}
				}
			} else {
				x.claim(&s, n)
				emit(&s, lab(aClaim, n, 0), true)
			}
		}
		for w := range a0.Ld {
			if a0.Ld[w] == 0 {
				continue
			}
			s := *s0
			if c.Guard && a0.Gd[w] == 0 { // read after the claim began, before its append
				switch {
				case c.GuardBlind:
					s.A[n].Gd[w] = 1
				case s0.Wd != 0:
					s.A[n].Gd[w] = 2
				case s0.Closed != 0:
					s.A[n].Gd[w] = 3
				default:
					s.A[n].Gd[w] = 1
				}
				emit(&s, lab(aGuard, n, w), true)
				continue
			}
			s.A[n].Ld[w], s.A[n].Gd[w], s.A[n].Bg[w] = 0, 0, 0
			current := a0.Ld[w] == 1 || c.NoRevision
			if current && a0.Gd[w] == 2 {
				s.Forbid = 1
				if c.GuardStep {
					s.A[n].St = WITHD
					x.settle(&s)
				} else {
					s.Sup = 1
					withdrawAll(&s)
				}
				emit(&s, lab(aForbid, n, w), true)
				continue
			}
			if current && a0.Gd[w] == 3 {
				s.A[n].Due, s.A[n].Q, s.A[n].PmQ, s.A[n].Over = 0, 0, 1, 0
				emit(&s, lab(aPostpone, n, w), true)
				continue
			}
			if current && a0.Bg[w] != 0 {
				x.bad("P16 a claim that began after the withdrawal was acknowledged is dispatched")
			}
			if current {
				x.claim(&s, n)
				emit(&s, lab(aClaim, n, w), true)
			} else {
				emit(&s, lab(aClash, n, w), true)
			}
		}
		if c.Tries > 0 {
			tries1(c, s0, n, &x, emit)
		}
		wire := func(p int) {
			for _, v := range []uint8{vACC, vTRANS, vPERM} {
				if v != vACC && !c.Refuse {
					continue
				}
				s := *s0
				a := &s.A[n]
				a.P[p].Wire++
				a.P[p].V = v
				if a.P[p].Wire > 1 {
					x.bad("P1 attempt twice on the wire")
				}
				if s.Canc|s.Exp != 0 {
					x.bad("P7 on the wire after an accepted cancel/expiry")
				}
				if s.Exh != 0 {
					x.bad("P11 on the wire after Exhausted")
				}
				a.W = wWAIT
				if p+1 < c.Parts {
					a.W = wPART1
				}
				emit(&s, lab(aWire, n, p<<2|int(v)), true)
			}
		}
		old := a0.W
		if c.Tries > 0 {
			old = wNONE
		}
		switch old {
		case wCLAIM:
			if a0.Fenced == 0 || c.LeakyFence {
				wire(0)
			}
			s := *s0
			s.A[n].W = wNONE
			if !c.DropSilent {
				x.refused(&s, n, true)
			}
			emit(&s, lab(aDrop, n, 0), true)
		case wPART1:
			if !c.Part2Fence || a0.Fenced == 0 {
				wire(1)
			}
			if c.Part2Fence {
				s := *s0
				s.A[n].W = wNONE
				if !c.PartialLost {
					s.A[n].P[0].Id = 1
				}
				x.refused(&s, n, false)
				emit(&s, lab(aDrop, n, 1), true)
			}
		case wWAIT, wLOST:
			s := *s0
			s.A[n].W = wNONE
			acc, per := 0, 0
			for p := 0; p < c.Parts; p++ {
				switch a0.P[p].V {
				case vACC:
					acc++
				case vPERM:
					per++
				}
			}
			if acc == c.Parts {
				x.sent(&s, n)
			} else {
				for p := 0; p < c.Parts; p++ {
					if a0.P[p].V == vACC && !c.PartialLost {
						s.A[n].P[p].Id = 1
					}
				}
				x.refused(&s, n, per == 0 && acc == 0)
			}
			if a0.W == wWAIT {
				emit(&s, lab(aResp, n, 0), true)
				if c.Loss {
					s := *s0
					s.A[n].W = wLOST
					x.unknown(&s, n)
					emit(&s, lab(aLost, n, 0), false)
				}
			} else {
				emit(&s, lab(aLate, n, 0), false)
			}
		}
		if s0.CrashW > 0 && a0.W != wNONE && a0.W != wLOST {
			s := *s0
			s.CrashW--
			s.A[n].W = wNONE
			for p := range s.A[n].P {
				if pp := &s.A[n].P[p]; pp.T == tACC {
					pp.T = tLOST // what the worker knew is gone
				}
			}
			emit(&s, lab(aCrashW, n, 0), false)
		}
		for p := 0; p < c.Parts; p++ {
			p0 := &a0.P[p]
			if p0.Id != 0 && p0.Sub == 0 && p0.V == vACC {
				s := *s0
				pp := &s.A[n].P[p]
				pp.Sub = 1
				for i := range pp.R {
					if pp.R[i].P == pRECORDED {
						pp.R[i].P = pMATCHED
						if c.MatchOnce {
							break
						}
					}
				}
				emit(&s, lab(aReg, n, p), true)
			}
			if p0.Wire > 0 && p0.V == vACC && s0.Rc > 0 {
				for i := range p0.R {
					if p0.R[i].K != 0 {
						continue
					}
					for k := uint8(1); k <= 2; k++ {
						s := *s0
						s.Rc--
						r := &s.A[n].P[p].R[i]
						r.K, r.P = k, pRECORDED
						if c.Ref || p0.Sub != 0 && !(c.MatchOnce && i > 0) {
							r.P = pMATCHED
						}
						emit(&s, lab(aRcpt, n, p<<2|int(k)), false)
					}
					break
				}
			}
			for i := range p0.R {
				r0 := p0.R[i]
				if r0.P == pMATCHED {
					s := *s0
					r := &s.A[n].P[p].R[i]
					r.P = pDONE
					if r.Seen == 0 {
						r.Seen = 1
						x.confirm(&s, n, p, r.K)
					} else if c.NoSeen {
						x.bad("P4b one receipt accounted twice on the notification")
					}
					emit(&s, lab(aFwd, n, p<<2|int(r.K)), true)
				}
				if c.Fit != "" && r0.P == pRECORDED && r0.F == 0 {
					if m := fits(c, s0, a0.Chan); m >= 0 {
						s := *s0
						s.A[n].P[p].R[i].F = uint8(m + 1)
						emit(&s, lab(aFit, n, m), true)
					}
				}
				if r0.F != 0 && r0.F&0x80 == 0 {
					s := *s0
					m := int(r0.F) - 1
					r := &s.A[n].P[p].R[i]
					r.F = 0x80
					if m != n || r.Seen == 0 {
						if m == n {
							r.Seen = 1
						}
						x.confirm(&s, m, 0, r.K)
					}
					emit(&s, lab(aFwdFit, n, m), true)
				}
			}
		}
		// time and watchdog
		if (a0.St == UNK || a0.St == SENT || c.SchedLimit && a0.St == SCHED && a0.Due != 0) && a0.Over == 0 && a0.Step == s0.Cur && !s0.over() {
			s := *s0
			s.A[n].Over = 1
			emit(&s, lab(aTime, n, 0), true)
		}
		if (a0.PmQ == 0 || c.NoDue && a0.Due == 0) && a0.St != NONE && a0.St != WITHD && (!c.WDLiteral || a0.WD == 1) && !(c.SkipNoWatch && a0.WD == 2 && a0.St == SCHED) {
			s := *s0
			a := &s.A[n]
			switch a0.St {
			case SCHED:
				if a.Over != 0 {
					a.St = WITHD
					x.settle(&s)
					emit(&s, lab(aWatch, n, 3), true)
				} else if a.Q == 0 && !blocked {
					a.Q = 1
					emit(&s, lab(aWatch, n, 0), true)
				}
			case DISP:
				if c.WDLiteral {
					a.WD = 2
					t := s
					emit(&t, lab(aWatch, n, 1), true) // before the wire limit: nothing to do
				}
				a.Fenced = 1
				x.unknown(&s, n)
				emit(&s, lab(aWatch, n, 2), true)
			case UNK, SENT:
				if c.WDLiteral {
					a.WD = 2
				}
				if a.Over != 0 && a.Step == s.Cur && !s.over() {
					if c.FailAny {
						x.failover(&s)
					} else {
						x.settle(&s)
					}
				}
				emit(&s, lab(aWatch, n, 3), true)
			}
		}
		if c.Policy == "hold" && a0.St == UNK && a0.Over == 0 && a0.Repl == 0 && a0.Step == s0.Cur && !s0.over() {
			if _, rs := tries(s0); rs < c.Resends && (c.ExpLiteral || s0.ExpT == 0) {
				s := *s0
				x.schedule(&s, a0.Step, a0.Chan, n, kRESEND)
				emit(&s, lab(aPerson, n, 1), false)
			}
			s := *s0
			s.A[n].Over = 1
			x.settle(&s)
			emit(&s, lab(aPerson, n, 2), false)
		}
		// a receipt-driven watchdog is not needed: undelivered and delivered settle themselves
	}
	if s0.PmReq != 0 {
		s := *s0
		s.PmReq = 0
		if (s0.Planned == 0 || c.EnrichBlind) && !s0.over() {
			s.Planned = 1
			if s0.ExpT != 0 {
				s.Exp = 1
			} else {
				for _, ch := range c.Steps[0] {
					x.schedule(&s, 1, uint8(ch), -1, 0)
				}
			}
		}
		emit(&s, lab(aEnrich, 0, 0), true)
	}
	if c.Cancel && !s0.over() && !x.inFlight(s0) {
		s := *s0
		s.Canc = 1
		withdrawAll(&s)
		emit(&s, lab(aCancel, 0, 0), false)
	}
	if c.Guard && s0.Wd == 0 {
		s := *s0
		s.Wd = 1
		emit(&s, lab(aWithdraw, 0, 0), false)
	}
	if s0.Closed != 0 {
		s := *s0
		s.Closed = 0
		emit(&s, lab(aOpens, 0, 0), true)
	}
	if c.Expiry && s0.ExpT == 0 && !s0.over() {
		s := *s0
		s.ExpT = 1
		emit(&s, lab(aExpT, 0, 0), false)
	}
	if s0.ExpT != 0 && s0.ExpGone == 0 && !s0.over() {
		if !x.inFlight(s0) {
			s := *s0
			s.Exp = 1
			withdrawAll(&s)
			emit(&s, lab(aExpire, 0, 0), true)
		} else if c.ExpLiteral {
			s := *s0
			s.ExpGone = 1
			emit(&s, lab(aExpRefused, 0, 0), true)
		}
	}
	if s0.CrashP > 0 {
		s := *s0
		s.CrashP--
		if c.owesEnrich() {
			s.PmReq = 1
		}
		for n := 0; n < int(s.N); n++ {
			a := &s.A[n]
			if a.St == SCHED {
				a.PmQ = 1
			}
			for p := range a.P {
				for i := range a.P[p].R {
					if r := &a.P[p].R[i]; r.P == pDONE {
						r.P = pMATCHED
					}
				}
			}
		}
		t := s
		t.CrashP++
		if t != *s0 { // otherwise nothing to redo
			emit(&s, lab(aCrashP, 0, 0), false)
		}
	}
	if s0.Wipe > 0 {
		s := *s0
		any := false
		for n := 0; n < int(s.N); n++ {
			any = any || s.A[n].Q != 0
			s.A[n].Q = 0
		}
		if any {
			s.Wipe--
			emit(&s, lab(aWipe, 0, 0), false)
		}
	}
	return out
}

// which attempt a receipt that matches nothing would confirm; -1: none or several
func fits(c *Cfg, s *State, ch uint8) int {
	m := -1
	for i := 0; i < int(s.N); i++ {
		a := &s.A[i]
		if a.Chan != ch {
			continue
		}
		cand := a.St == UNK
		if c.Fit == "status" { // dispatched ones count too
			cand = a.St == UNK || a.St == DISP
		}
		if c.Fit == "fixed" { // whatever left and has no registered submission
			cand = a.St >= DISP && a.St != WITHD && a.P[0].Sub == 0 && !(a.St == UNDEL && a.P[0].Id == 0 && a.P[0].St == 0)
		}
		if cand {
			if m >= 0 {
				return -1
			}
			m = i
		}
	}
	if m >= 0 && s.A[m].St != UNK {
		return -1
	}
	return m
}

// quiet: no fair step is left
func quiet(c *Cfg, s *State) (v []string, orphan bool) {
	final := s.over()
	for i := 0; i < int(s.N); i++ {
		a := &s.A[i]
		if a.St == SCHED || a.St == DISP {
			final = false
		}
		if c.OpenLiteral && (a.St == UNK || a.St == SENT) {
			final = false
		}
		all := true
		for p := 0; p < c.Parts; p++ {
			del := false
			for _, r := range a.P[p].R {
				if r.K == rDEL && r.P >= pMATCHED {
					del = true
				}
				if r.K != 0 && r.P < pDONE && r.F == 0 {
					if a.P[p].Id != 0 {
						v = append(v, "P4 receipt lost: its id is on the notification, nothing joins them")
					} else if a.P[p].T == tACC {
						v = append(v, "P13 receipt is an orphan, though the worker knew its id when it appended the outcome")
					} else {
						orphan = true
					}
				}
			}
			all = all && del
		}
		if all && (s.Reached == 0 || a.St != DELIV) {
			v = append(v, "P3 not delivered though every part's delivered receipt is matched")
		}
	}
	if !final {
		v = append(v, "P5 stuck: not final, and nothing will happen any more")
	}
	return
}

// one claim, part by part: what was refused as busy or never on the wire is tried again until the fence shuts
func tries1(c *Cfg, s0 *State, n int, x *ctx, emit func(*State, uint16, bool)) {
	a0 := &s0.A[n]
	switch a0.W {
	case wCLAIM:
		open := false
		for p := 0; p < c.Parts; p++ {
			p0 := &a0.P[p]
			switch p0.T {
			case tTODO, tBUSY:
				open = true
				if p0.Wire >= c.Tries || a0.Fenced != 0 && !(c.LeakyTries && p0.T == tBUSY) {
					break
				}
				for _, v := range []uint8{vACC, vBUSY, vTRANS, vPERM} {
					if v != vACC && !c.Refuse {
						continue
					}
					s := *s0
					pp := &s.A[n].P[p]
					if p0.Wire > 0 && p0.V != vBUSY {
						x.bad("P1 part on the wire again, and the provider had not refused it as busy")
					}
					pp.Wire++
					pp.V, pp.T = v, tWIRE
					if s.Canc|s.Exp != 0 {
						x.bad("P7 on the wire after an accepted cancel/expiry")
					}
					if s.Exh != 0 {
						x.bad("P11 on the wire after Exhausted")
					}
					if r := a0.Repl; r != 0 && s.A[r-1].W|s.A[r-1].P[0].Wire != 0 {
						x.bad("P14 on the wire after its resend was claimed")
					}
					if a0.St != DISP {
						x.bad("P14 on the wire although not dispatched any more")
					}
					emit(&s, lab(aWire, n, p<<3|int(v)), true)
				}
			case tWIRE:
				open = true
				s := *s0
				pp := &s.A[n].P[p]
				switch p0.V {
				case vACC:
					pp.T = tACC
				case vBUSY:
					pp.T = tBUSY
				default:
					pp.T = tREF
				}
				emit(&s, lab(aAnswer, n, p), true)
				if c.Loss {
					s := *s0
					s.A[n].P[p].T = tLOST
					if c.LostAtOnce {
						x.unknown(&s, n)
					}
					emit(&s, lab(aLostPart, n, p), false)
				}
				if c.WireGuess {
					s := *s0
					s.A[n].P[p].T = tTODO
					emit(&s, lab(aGuess, n, p), false)
				}
			}
		}
		s := *s0 // all parts known, or the fence shut (at any time)
		l := aDone
		if open {
			l = aDrop
		}
		finish(c, &s, n, x, false)
		emit(&s, lab(l, n, 0), true)
	case wLOST:
		s := *s0
		for p := 0; p < c.Parts; p++ {
			pp := &s.A[n].P[p]
			if pp.T == tLOST {
				switch pp.V {
				case vACC:
					pp.T = tACC
				case vBUSY:
					pp.T = tBUSY
				default:
					pp.T = tREF
				}
			}
		}
		finish(c, &s, n, x, true)
		emit(&s, lab(aLate, n, 0), false)
	}
}

// the one append that ends a claim (late: or what came after it)
func finish(c *Cfg, s *State, n int, x *ctx, late bool) {
	a := &s.A[n]
	acc, lost, miss, perm := 0, 0, 0, 0
	a.W = wNONE
	for p := 0; p < c.Parts; p++ {
		pp := &a.P[p]
		switch pp.T {
		case tWIRE: // not answered before the fence
			pp.T = tLOST
			lost++
		case tLOST:
			lost++
		case tACC:
			acc++
		case tTODO, tBUSY:
			miss++
		case tREF:
			miss++
			if pp.V == vPERM {
				perm++
			}
		}
	}
	if lost > 0 {
		a.W = wLOST
	}
	ids := func() {
		for p := 0; p < c.Parts; p++ {
			if a.P[p].T == tACC {
				a.P[p].Id = 1
			}
		}
	}
	switch {
	case acc == c.Parts:
		x.sent(s, n)
	case miss > 0:
		ids()
		x.refused(s, n, acc == 0 && perm == 0 && (lost == 0 || c.LostAccLit))
	default:
		if !c.UnkNoIds {
			ids()
		}
		x.unknown(s, n)
	}
	_ = late
}
