package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"recapito/commands"
	"recapito/commands/access"
	"recapito/commands/calls"
	"recapito/commands/storetest/memory"
	"recapito/domain/audit"
	"recapito/domain/catalogue"
	"recapito/domain/event"
)

type probeInput struct{}

type probeOutput struct{ Body struct{} }

// What is recorded first is durable when the call returns, and the call is refused if it
// cannot be recorded.
func TestRecordedFirst(t *testing.T) {
	codec, err := catalogue.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	store := &memory.Store{}
	ledger := &commands.Ledger{Store: store, Codec: codec, Now: time.Now}
	log := slog.New(slog.DiscardHandler)
	key := access.NewKey()
	recorder := calls.New(ledger, log)
	s := newServer(Options{Access: access.New(ledger, access.Options{AdminKey: key, Log: log}), Calls: recorder, Log: log})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); recorder.Run(ctx) }()

	Register(s, huma.Operation{OperationID: "look-up", Method: http.MethodGet, Path: "/v1/probe/{id}", Metadata: RecordedFirst}, nil,
		func(context.Context, *probeInput, []byte) (*probeOutput, error) { return &probeOutput{}, nil })
	ask := func() int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/probe/anna", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		s.router.ServeHTTP(w, r)
		return w.Code
	}
	if got := ask(); got != http.StatusOK {
		t.Fatalf("answered %d", got)
	}
	recorded := recordedCalls(t, codec, store)
	stop()
	<-ended
	if len(recorded) != 1 || recorded[0].Operation != "look-up" || recorded[0].Path != "/v1/probe/{id}" || recorded[0].Status != http.StatusOK {
		t.Errorf("when it was answered, there was recorded: %+v", recorded)
	}
	if got := recordedCalls(t, codec, store); len(got) != 1 {
		t.Errorf("recorded twice: %+v", got)
	}
	if got := ask(); got != http.StatusServiceUnavailable {
		t.Errorf("answered %d though it could not be recorded", got)
	}
}

func recordedCalls(t *testing.T, codec *event.Codec, store commands.Store) (all []audit.Call) {
	t.Helper()
	err := store.ReadAll(t.Context(), event.AllRead{Filter: event.Filter{StreamPrefixes: []string{audit.StreamPrefix}}}, func(r event.Recorded) error {
		e, err := codec.Decode(t.Context(), nil, "", r)
		if err != nil {
			return err
		}
		all = append(all, e.(audit.CallsRecorded).Calls...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
