// One provider id that comes back: two submissions under it, their receipts early, late and doubled, and the
// rule by which a receipt is matched. Small enough that every order is explored over a grid of distances.
package main

import (
	"fmt"
	"strings"
)

const amb = 3

type rSub struct {
	Acc, At   int8 // provider took it; its answer reached the worker (0: not yet)
	Reg, Lost bool // registered; its worker died, so it never will be
}
type rRec struct{ At, M int8 } // received; matched to submission 1 or 2, or ambiguous
type rState struct {
	Now int8
	S   [2]rSub
	R   [2][2]rRec // receipts of each submission
}
type rCfg struct {
	R, D, E   int8 // ids come back no sooner than R; receipts no later than D; answered and registered within E, or never
	W, K      int8 // the rule's window after the acceptance, and before it
	Crash     bool
	Same      bool // same destination
	Readable  bool // the receipt's address gives our token
	Unsettled bool // open = no receipt yet (and in time)
	Hold      int  // 0 decide at once; 1 at once only if the token is equal; 2 never before E has passed
	Token     bool // an equal token is needed, even for one
	OldToken  bool // a readable other token refuses (the rule before)
	GhostAny  bool // and, where the address cannot be read, any of the route
	Ghost     bool // a dispatched attempt without a submission counts as a candidate if the token is its
	Double    bool
	Identity  bool // receipts hold nothing that differs (no done time): a later one looks like a repeat
	Again     bool // an ambiguous receipt is decided again whenever something is known anew
	Complete  bool // a readable other address contradicts: that submission is no candidate
	Waited    bool // an unregistered one is only waited for: once it never will be registered, the id decides
}

// decide a receipt of submission j, received at r
func (c *rCfg) decide(s *rState, j int, r rRec) int8 {
	var cand []int
	equal := func(i int) bool { return c.Readable && (c.Same || i == j) }
	for i := range s.S {
		b := &s.S[i]
		if !b.Reg || r.At < b.At-c.K || r.At > b.At+c.W {
			continue
		}
		if c.Complete && c.Readable && !equal(i) {
			continue
		}
		if c.Unsettled {
			settled := false
			for a := range s.R {
				for _, o := range s.R[a] {
					settled = settled || o.M == int8(i+1)
				}
			}
			if settled {
				continue
			}
		}
		cand = append(cand, i)
	}
	if len(cand) == 0 {
		return 0
	}
	early := s.Now <= r.At+c.E
	if c.Hold == 2 && early {
		return 0
	}
	var eq []int
	for _, i := range cand {
		if equal(i) {
			eq = append(eq, i)
		}
	}
	if c.Ghost { // dispatched by the time of the receipt, not registered, and of this token
		for i := range s.S {
			if b := &s.S[i]; !b.Reg && b.Acc != 0 && b.Acc <= r.At && (equal(i) || c.GhostAny && !c.Readable) {
				if early {
					return 0
				}
				if !c.Waited {
					return amb // its fit decides, or a person
				}
			}
		}
	}
	if len(cand) == 1 && len(eq) == 0 {
		if c.Token && (c.Readable || !c.GhostAny) || c.GhostAny && early || c.OldToken && c.Readable || c.Hold == 1 && early {
			return 0
		}
		return int8(cand[0] + 1)
	}
	if len(eq) == 1 {
		return int8(eq[0] + 1)
	}
	return amb
}

func (c *rCfg) settle(s *rState) {
	for again := true; again; {
		again = false
		for j := range s.R {
			for k := range s.R[j] {
				if r := s.R[j][k]; r.At != 0 && (r.M == 0 || c.Again && r.M == amb) {
					if m := c.decide(s, j, r); m != 0 && m != r.M {
						s.R[j][k].M, again = m, true
					}
				}
			}
		}
	}
}

// explore returns the first violation of each kind with its trace
func (c *rCfg) explore() (bad map[string][]string, states int, ambiguous bool) {
	type node struct {
		s    rState
		from int
		l    string
	}
	end := 2 + c.R + 1 + max(c.D, c.W) + c.E
	nodes := []node{{rState{Now: 1}, -1, ""}}
	seen := map[rState]bool{nodes[0].s: true}
	bad = map[string][]string{}
	trace := func(i int, l string) (t []string) {
		t = []string{l}
		for ; i > 0; i = nodes[i].from {
			t = append([]string{fmt.Sprintf("t=%d %s", nodes[i].s.Now, nodes[i].l)}, t...)
		}
		return
	}
	for i := 0; i < len(nodes); i++ {
		s0 := nodes[i].s
		add := func(s rState, l string) {
			c.settle(&s)
			for j := range s.R {
				for k, r := range s.R[j] {
					if r.M == s0.R[j][k].M {
						continue
					}
					if r.M == amb {
						ambiguous = true
					} else if r.M != int8(j+1) {
						if v := "M1 a receipt confirms another's submission"; bad[v] == nil {
							bad[v] = trace(i, fmt.Sprintf("t=%d %s => receipt of %d matched to %d", s.Now, l, j+1, r.M))
						}
					}
				}
			}
			if !seen[s] {
				seen[s] = true
				nodes = append(nodes, node{s, i, l})
			}
		}
		now := s0.Now
		late := false // something must happen before time goes on
		for j := range s0.S {
			b := s0.S[j]
			if b.Acc == 0 {
				if j == 0 && now == 1 || j == 1 && s0.S[0].Acc != 0 && now >= s0.S[0].Acc+c.R && now <= s0.S[0].Acc+c.R+1 {
					s := s0
					s.S[j].Acc = now
					add(s, fmt.Sprintf("provider accepts %d", j+1))
				}
				continue
			}
			if !b.Reg && !b.Lost {
				late = late || now >= b.Acc+c.E
				s := s0
				if b.At == 0 {
					s.S[j].At = now
					add(s, fmt.Sprintf("answer of %d arrives", j+1))
				} else {
					s.S[j].Reg = true
					add(s, fmt.Sprintf("%d is registered", j+1))
				}
				if c.Crash {
					s = s0
					s.S[j].Lost = true
					add(s, fmt.Sprintf("the worker of %d dies before its Sent", j+1))
				}
			}
			for k := range s0.R[j] {
				if s0.R[j][k].At != 0 || k == 1 && (!c.Double || s0.R[j][0].At == 0) {
					continue
				}
				if now <= b.Acc+c.D {
					if o := s0.R[1-j]; c.Identity && (!c.Readable || c.Same) && k == 0 && (o[0].At != 0) {
						if v := "M4 a receipt is taken for a repeat of another's and dropped"; bad[v] == nil {
							bad[v] = trace(i, fmt.Sprintf("t=%d receipt of %d comes", now, j+1))
						}
					}
					s := s0
					s.R[j][k].At = now
					add(s, fmt.Sprintf("receipt of %d comes (%d.)", j+1, k+1))
				}
				break
			}
		}
		if now < end && !late {
			s := s0
			s.Now++
			add(s, "time passes")
		}
		if now == end {
			for j := range s0.R {
				for _, r := range s0.R[j] {
					if v := "M2 a receipt of a registered submission is joined to nothing"; r.At != 0 && r.M == 0 && s0.S[j].Reg && bad[v] == nil {
						bad[v] = trace(i, "end")
					}
				}
			}
		}
	}
	return bad, len(nodes), ambiguous
}

// over the grid of distances: where does a rule hold, and what is the condition?
func reuse(only string) {
	type rule struct {
		name string
		f    func(c *rCfg)
		safe func(c *rCfg) bool // what is claimed: holds if
	}
	unique := func(c *rCfg) bool { return c.W+c.E < c.R && c.D+c.K < c.R }
	rules := []rule{
		{"r1 id alone, open = in time, at once", func(c *rCfg) {}, unique},
		{"r2 id alone, open = without a receipt yet", func(c *rCfg) { c.Unsettled = true }, unique},
		{"r3 token must fit (the rule before)", func(c *rCfg) { c.OldToken = true }, unique},
		{"r4 at once if the token is equal, else held for E", func(c *rCfg) { c.Hold = 1 }, nil},
		{"r5 always held for E", func(c *rCfg) { c.Hold = 2 }, nil},
		{"r6 held unless equal, unregistered of that token counts", func(c *rCfg) { c.Hold = 1; c.Ghost = true }, nil},
		{"r7 always held, unregistered of that token counts", func(c *rCfg) { c.Hold = 2; c.Ghost = true }, nil},
		{"r8 always held, equal token needed, unregistered counts", func(c *rCfg) { c.Hold = 2; c.Token = true; c.Ghost = true }, nil},
		{"r10 equal token at once; unreadable held, any unregistered of the route counts", func(c *rCfg) { c.Token = true; c.Ghost = true; c.GhostAny = true }, nil},
		{"r11 id alone, at once; unregistered of that token counts", func(c *rCfg) { c.Ghost = true }, nil},
		{"r13 as r11, an ambiguous receipt is decided again", func(c *rCfg) { c.Ghost = true; c.Again = true }, nil},
		{"r14 as r13, a complete other address contradicts", func(c *rCfg) { c.Ghost = true; c.Again = true; c.Complete = true }, nil},
		{"r15 as r14, an attempt that never registers is only waited for", func(c *rCfg) { c.Ghost = true; c.Again = true; c.Complete = true; c.Waited = true }, nil},
		{"r12 as r1, receipts hold nothing that differs", func(c *rCfg) { c.Identity = true; c.Double = false }, nil},
		{"r9 at once, equal token needed, unregistered counts", func(c *rCfg) { c.Token = true; c.Ghost = true }, nil},
	}
	for _, ru := range rules {
		if only != "r" && !strings.HasPrefix(ru.name, only+" ") {
			continue
		}
		for _, crash := range []bool{false, true} {
			for _, rd := range []int{0, 1, 2} { // unreadable; readable, two destinations; readable, the same
				var okU, badU, okC, badC, okN, badN, states int
				var ex, exN *rCfg
				var tr, trN []string
				m2, m4, m4u, ambig := 0, 0, 0, 0
				for R := int8(1); R <= 6; R++ {
					for D := int8(0); D <= 4; D++ {
						for W := int8(0); W <= 4; W++ {
							for E := int8(0); E <= 1; E++ {
								K := E
								c := rCfg{R: R, D: D, E: E, W: W, K: K, Crash: crash, Readable: rd > 0, Same: rd == 2, Double: true}
								ru.f(&c)
								bad, n, am := c.explore()
								states += n
								if am {
									ambig++
								}
								if bad["M2 a receipt of a registered submission is joined to nothing"] != nil && W >= D {
									m2++
								}
								if bad["M4 a receipt is taken for a repeat of another's and dropped"] != nil {
									if m4++; unique(&c) {
										m4u++
									}
								}
								t := bad["M1 a receipt confirms another's submission"]
								switch {
								case unique(&c):
									if t == nil {
										okU++
									} else if badU++; badU > 0 && (tr == nil || len(t) < len(tr)) {
										tr, ex = t, &c
									}
								case W >= D:
									if t == nil {
										okC++
									} else {
										if badC++; trN == nil || len(t) < len(trN) {
											trN, exN = t, &c
										}
									}
								default:
									if t == nil {
										okN++
									} else {
										badN++
									}
								}
							}
						}
					}
				}
				fmt.Printf("== %s; crash %v; %s: unique (w+E<R, D+k<R) %d hold %d fail; else w>=D %d hold %d fail; else w<D %d hold %d fail; M2 in %d, M4 in %d (unique %d), ambiguous in %d (%d states)\n", ru.name, crash,
					[]string{"unreadable", "readable", "readable, same destination"}[rd], okU, badU, okC, badC, okN, badN, m2, m4, m4u, ambig, states)
				if ex != nil {
					fmt.Printf("   unique but fails: R=%d D=%d E=%d w=%d k=%d\n", ex.R, ex.D, ex.E, ex.W, ex.K)
					for _, l := range tr {
						fmt.Println("       ", l)
					}
				}
				if exN != nil {
					fmt.Printf("   shortest, w>=D: R=%d D=%d E=%d w=%d k=%d\n", exN.R, exN.D, exN.E, exN.W, exN.K)
					for _, l := range trN {
						fmt.Println("       ", l)
					}
				}
			}
		}
	}
}
