package storecopy

import (
	"context"
	"fmt"

	"recapito/domain/event"
)

// pairs walks along a source and its copy side by side, in either direction.
type pairs struct {
	*carrier
	source, target func() (event.Recorded, bool, error)
}

// each visits the events that are the same. It ends with an error where the stores
// differ, and with nil at the end of the target or, if all is set, of both.
func (p *pairs) each(ctx context.Context, all bool, visit func(of, e event.Recorded) error) error {
	e, is, err := p.target()
	for err == nil && (is || all) {
		var of event.Recorded
		var more bool
		if of, more, err = p.source(); err != nil || !more {
			break
		}
		for err == nil {
			if is && same(of, e) {
				if err = visit(of, e); err == nil {
					e, is, err = p.target()
				}
				break
			}
			var skipSource bool
			if skipSource, err = p.apart(ctx, of, e, is); err != nil || skipSource {
				break
			}
			e, is, err = p.target()
		}
	}
	for err == nil && is { // beyond the source
		var done bool
		if done, err = p.done(ctx, e); err == nil && !done {
			err = fmt.Errorf("%w: revision %d of stream %s is not in the source where it should be", ErrOther, e.Revision, e.Stream)
		}
		if err == nil {
			e, is, err = p.target()
		}
	}
	return err
}

// apart explains what two events that stand at the same place and are not the same mean: the
// source's is not carried, or the target's is a deadline that has been done since and
// was scavenged. Else the stores differ.
func (p *pairs) apart(ctx context.Context, of, e event.Recorded, is bool) (skipSource bool, err error) {
	left, err := p.left(ctx, of)
	if left != "" || err != nil {
		return true, err
	}
	if !is {
		return false, fmt.Errorf("%w: it ends before revision %d of stream %s (position %d in the source)", ErrOther, of.Revision, of.Stream, of.Position)
	}
	done, err := p.done(ctx, e)
	if !done && err == nil {
		err = fmt.Errorf("%w: where the source has revision %d of stream %s (position %d), it has revision %d of stream %s (position %d)",
			ErrOther, of.Revision, of.Stream, of.Position, e.Revision, e.Stream, e.Position)
	}
	return false, err
}
