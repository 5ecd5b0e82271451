package main

import "testing"

// What the matching rule in use promises, over a grid small enough for every run; and that the grid can fail.
func TestMatching(t *testing.T) {
	const another = "M1 a receipt confirms another's submission"
	const lost = "M2 a receipt of a registered submission is joined to nothing"
	inUse := func(c *rCfg) { c.Ghost, c.Again, c.Complete, c.Waited = true, true, true, true }
	idAlone := func(*rCfg) {}
	fails := map[string]int{}
	for r := int8(1); r <= 3; r++ {
		for d := int8(0); d <= 2; d++ {
			for w := d; w <= 2; w++ {
				for e := int8(0); e <= 1; e++ {
					for _, readable := range []bool{false, true} {
						for _, same := range []bool{false, true} {
							c := rCfg{R: r, D: d, E: e, W: w, K: e, Crash: true, Readable: readable, Same: same, Double: true}
							unique := c.W+c.E < c.R && c.D+c.K < c.R
							for name, rule := range map[string]func(*rCfg){"in use": inUse, "id alone": idAlone} {
								c := c
								rule(&c)
								bad, _, _ := c.explore()
								if bad[lost] != nil {
									t.Errorf("%s: %s: %+v", name, lost, c)
								}
								if bad[another] == nil {
									continue
								}
								fails[name]++
								if name == "in use" && (unique || readable && !same) {
									t.Errorf("%s: %+v: %v", another, c, bad[another])
								}
							}
						}
					}
				}
			}
		}
	}
	if fails["id alone"] <= fails["in use"] || fails["in use"] == 0 {
		t.Errorf("the grid tells no rules apart: %v", fails)
	}
}
