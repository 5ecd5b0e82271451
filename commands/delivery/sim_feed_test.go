package delivery_test

import (
	"context"
	"slices"
	"time"

	"recapito/commands/delivery"
)

// consumerTasks is how many inputs an instance works on at a time.
const consumerTasks = 3

// simFeed is a model of delivery.SharedFeed: each input goes to one of two instances,
// mostly in order, sometimes twice; it comes again if it failed or if its instance died.
type simFeed struct {
	w      *world
	next   int // index in the store of the next input to look at
	inputs []*feedInput
}

type feedInput struct {
	index  int
	holder *process
}

// free answers the inputs that nobody holds, in the order of the store.
func (f *simFeed) free() (free []*feedInput) {
	for _, in := range f.inputs {
		if in.holder == nil {
			free = append(free, in)
		}
	}
	return free
}

func (f *simFeed) any() bool {
	return f.next < len(f.w.store.all) || slices.ContainsFunc(f.inputs, func(in *feedInput) bool { return in.holder == nil })
}

// back gives back what a process that died had in hand.
func (f *simFeed) back(p *process) {
	for _, in := range f.inputs {
		if in.holder == p {
			in.holder = nil
		}
	}
}

// take answers an input; nil if there is none after all.
func (f *simFeed) take(p *process, m *delivery.Manager) *feedInput {
	filter, s := m.Filter(), f.w.s
	for ; f.next < len(f.w.store.all); f.next++ {
		if e := f.w.store.all[f.next]; filter.Passes(e.Stream, e.Type) {
			f.inputs = append(f.inputs, &feedInput{index: f.next})
			if s.chance(20) { // its holder seemed too slow
				f.inputs = append(f.inputs, &feedInput{index: f.next})
			}
		}
	}
	free := f.free()
	if len(free) == 0 {
		return nil
	}
	in := free[0]
	if s.chance(4) {
		in = free[s.rng.IntN(len(free))]
	}
	in.holder = p
	return in
}

func (w *world) startConsumer(p *process, m *delivery.Manager) {
	s, f := w.s, &w.feed
	for range consumerTasks {
		s.spawn(p, p.name+"/consumer", func() {
			for {
				s.wait(f.any)
				in := f.take(p, m)
				if in == nil {
					continue
				}
				if w.bugs.doneBeforeDurable {
					f.done(in)
				}
				if err := m.OnEvent(context.Background(), w.store.all[in.index]); err != nil {
					s.log("input %d failed: %v", in.index, err)
					s.sleep(50 * time.Millisecond)
					in.holder = nil
					continue
				}
				s.step()
				f.done(in)
			}
		})
	}
}

func (f *simFeed) done(in *feedInput) {
	f.inputs = slices.DeleteFunc(f.inputs, func(o *feedInput) bool { return o == in })
}
