package commands_test

import (
	"testing"

	"github.com/google/uuid"

	"recapito/commands"
	"recapito/commands/storetest/memory"
	"recapito/domain/checkpoint"
	"recapito/domain/event"
)

// A checkpoint that cannot be read is passed over: what came after the one before it is done
// again, and the next one takes its place.
func TestLoadLatestPassesOverWhatItCannotRead(t *testing.T) {
	store := &memory.Store{}
	stream := checkpoint.RunnerStream("delivery")
	at, err := commands.AppendOperational(t.Context(), store, stream, event.NoStream(), "RunnerCheckpointed", checkpoint.RunnerCheckpointed{Position: 7})
	if err != nil {
		t.Fatal(err)
	}
	junk, err := store.Append(t.Context(), stream, event.Exact(at), []event.New{
		{ID: uuid.NewString(), Type: "RunnerCheckpointed", Data: []byte(`[`)}, {ID: uuid.NewString(), Type: "x", Data: []byte(`{"position": "y"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var c checkpoint.RunnerCheckpointed
	expected, err := commands.LoadLatest(t.Context(), store, stream, &c)
	if err != nil || c.Position != 7 || expected != event.Exact(junk.Revision) {
		t.Errorf("%+v at %v, %v", c, expected, err)
	}
}
