package storecopy

import (
	"context"
	"strings"
	"time"

	"recapito/domain/event"
)

// Verify holds a complete copy against its source, in order, and returns how many events are
// the same. The first difference ends it with an error. Deadlines that are done by now
// may be in either or in both.
func Verify(ctx context.Context, from, to Source, progress func(Progress)) (uint64, error) {
	last, err := lastOf(ctx, from)
	if err != nil {
		return 0, err
	}
	source, target := read(ctx, "source", from, event.AllRead{}), read(ctx, "target", to, event.AllRead{})
	defer source.close()
	defer target.close()
	count := uint64(0)
	var reported time.Time
	p := pairs{carrier: newCarrier(from), target: func() (event.Recorded, bool, error) {
		for {
			e, more, err := target.next()
			if err != nil || !more || !strings.HasPrefix(e.Stream, "$") {
				return e, more, err
			}
		}
	}, source: func() (event.Recorded, bool, error) {
		of, more, err := source.next()
		if more && time.Since(reported) >= reportEvery {
			reported = time.Now()
			progress(Progress{Events: count, At: of.Position, Last: max(last, of.Position)})
		}
		return of, more, err
	}}
	err = p.each(ctx, true, func(of, e event.Recorded) error {
		count++
		if of.Revision == e.Revision || isDeadline(of) {
			return nil
		}
		return shiftable(ctx, from, of, e)
	})
	progress(Progress{Events: count, At: last, Last: last})
	return count, err
}
