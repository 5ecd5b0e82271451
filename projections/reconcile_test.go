package projections_test

import (
	"context"
	"testing"
	"time"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections"
)

// Tables that are right show no difference, in parts however small, while events arrive.
func TestReconcileUnderTraffic(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.start(clickhousetest.New(t))
	i.write(150)
	i.settled()
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			i.write(1)
			time.Sleep(2 * time.Millisecond) // each pass reads what has come: on a busy machine that never ends
		}
	}()
	r := &projections.Reconciler{
		Source: i.store, Codec: i.author.codec, Conn: i.conn,
		Cut: func(context.Context) (uint64, error) { return i.p.Held(), nil },
	}
	projections.PartsOf(r, 600)
	found, err := r.Run(t.Context())
	stop()
	<-written
	if err != nil {
		t.Fatal(err)
	}
	if found.Events < 150 || found.Rows == 0 || len(found.Differences) > 0 {
		t.Errorf("%d events, %d rows: %v", found.Events, found.Rows, found.Differences)
	}
}
