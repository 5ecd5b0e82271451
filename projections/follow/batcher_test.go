package follow

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections"
	"recapito/readmodels"
)

func TestBatchesNeverCrossASpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(time.Now, 10, readmodels.Span, checkpoint.Done{Events: 3*readmodels.Span - 7})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b.add(ctx, event.Recorded{}, nil) == nil {
			}
		}()
		want := uint64(3*readmodels.Span - 7)
		for _, size := range []int{7, 10, 10} {
			got, err := b.take(ctx, time.Now().Add(time.Hour))
			if err != nil || len(got.events) != size || got.events[0].Seq != want {
				t.Fatalf("a batch of %d from %d, %v; want %d from %d", len(got.events), got.events[0].Seq, err, size, want)
			}
			want += uint64(size)
		}
		cancel()
		<-done
	})
}

func TestBatchIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(time.Now, projections.MaxBatchEvents, readmodels.Span, checkpoint.Done{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b.add(ctx, event.Recorded{Data: make([]byte, 1<<20)}, nil) == nil {
			}
		}()
		got, err := b.take(ctx, time.Now().Add(time.Hour))
		if err != nil || len(got.events) != maxBatchBytes>>20 {
			t.Errorf("%d events, %v", len(got.events), err)
		}
		cancel()
		<-done
	})
}
