package reconcile_test

import (
	"errors"
	"fmt"
	"testing"

	"recapito/adapters/clickhouse/clickhousetest"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
	"recapito/projections/reconcile"
	"recapito/readmodels"
)

// While a view shows the table of the release before, which has a column less, a comparison
// says so, and names no difference. Once the table of this release is shown, nothing differs.
func TestCompareDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	conn := clickhousetest.New(t)
	i.Start(conn)
	i.Write(60)
	i.Complete()
	i.Stop()

	now := i.Table("edr")
	columns := i.Columns("edr")
	before := fmt.Sprintf("edr_v%d_before", readmodels.EDRTable.Version-1)
	for _, statement := range []string{
		"RENAME TABLE " + now + " TO " + before,
		"ALTER TABLE " + before + " DROP COLUMN campaign",
		"CREATE OR REPLACE VIEW edr AS SELECT * FROM " + before + " FINAL",
	} {
		i.Exec(conn.Exec(t.Context(), statement))
	}
	stream := checkpoint.ProjectionStream("edr")
	var state checkpoint.ProjectionCheckpointed
	i.Exec(i.Store.ReadStream(t.Context(), event.StreamRead{Stream: stream, From: event.RevisionEnd, Direction: event.Backwards, Limit: 1}, func(r event.Recorded) error {
		decoded, err := i.Author.Codec.Decode(t.Context(), nil, "", r)
		state, _ = decoded.(checkpoint.ProjectionCheckpointed)
		return err
	}))
	state.Live.Name, state.Live.Version = before, readmodels.EDRTable.Version-1
	name, data, err := i.Author.Codec.Encode(t.Context(), nil, "", stream, state)
	i.Exec(err)
	_, err = i.Store.Append(t.Context(), stream, event.Any(), []event.New{{ID: i.Author.ID(), Type: name, Data: data}})
	i.Exec(err)

	r := &reconcile.Reconciler{Source: i.Store, Codec: i.Author.Codec, Conn: conn}
	if found, err := r.Run(t.Context()); !errors.Is(err, reconcile.ErrUpgrading) || len(found.Differences) > 0 {
		t.Errorf("%v, %v", found, err)
	}

	i.Start(conn)
	i.Write(20)
	i.Complete()
	if got := i.Columns("edr"); fmt.Sprint(got) != fmt.Sprint(columns) {
		t.Errorf("the view has %v, want %v", got, columns)
	}
}
