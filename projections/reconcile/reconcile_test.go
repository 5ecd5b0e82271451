package reconcile_test

import (
	"context"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/projections/reconcile"
)

// Tables that are right show no difference, in parts however small, while events arrive.
func TestReconcileUnderTraffic(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	i.Start(clickhousetest.Database(t))
	i.Write(150)
	i.Settled()
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() {
		defer close(written)
		for ctx.Err() == nil {
			i.Write(1)
			_ = i.P.Settle(ctx) // a comparison reads what has come meanwhile: it must not come faster than it is read
		}
	}()
	r := &reconcile.Reconciler{
		Source: i.Store, Codec: i.Author.Codec, Conn: i.Conn, PartEvents: 600, PartCells: 600,
		Cut: func(context.Context) (uint64, error) { return i.P.Held(), nil },
	}
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
