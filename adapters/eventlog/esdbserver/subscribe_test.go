package esdbserver_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"recapito/adapters/eventlog"
	"recapito/adapters/eventlog/esdbserver"
)

func (f *fixture) subscribe(o *options) streams.Streams_ReadClient {
	f.t.Helper()
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	f.t.Cleanup(cancel)
	call, err := f.streams.Read(ctx, &streams.ReadReq{Options: o})
	if err != nil {
		f.t.Fatal(err)
	}
	return call
}

func TestSubscriptions(t *testing.T) {
	tests := map[string]*struct {
		o    options
		want []string // up to "caught up"
		live []string // of "x-1" B and "y-1" B, appended then
	}{
		"a stream":               {options{StreamOption: ofStream("x-1", start)}, []string{"x-1@0:A", "x-1@1:B", "x-1@2:C"}, []string{"x-1@3:B"}},
		"a stream from its end":  {options{StreamOption: ofStream("x-1", end)}, nil, []string{"x-1@3:B"}},
		"a stream after one":     {options{StreamOption: ofStream("x-1", from(1))}, []string{"x-1@2:C"}, []string{"x-1@3:B"}},
		"a stream yet to come":   {options{StreamOption: ofStream("y-1", start)}, nil, []string{"y-1@0:B"}},
		"all":                    {options{StreamOption: allStart}, []string{"x-1@0:A", "x-1@1:B", "x-1@2:C"}, []string{"x-1@3:B", "y-1@0:B"}},
		"all from its end":       {options{StreamOption: allEnd}, nil, []string{"x-1@3:B", "y-1@0:B"}},
		"all after a position":   {options{StreamOption: allFrom(2)}, []string{"x-1@2:C"}, []string{"x-1@3:B", "y-1@0:B"}},
		"filtered":               {options{StreamOption: allStart, FilterOption: byType(prefixes("B"))}, []string{"x-1@1:B", "checkpoint 3"}, []string{"x-1@3:B", "y-1@0:B"}},
		"checkpoints at windows": {options{StreamOption: allStart, FilterOption: byStream(prefixes("y"))}, []string{"checkpoint 3"}, []string{"checkpoint 4", "y-1@0:B"}},
	}
	for what, test := range tests {
		t.Run(what, func(t *testing.T) {
			f := newFixture(t)
			f.fill("x-1", "A", "B", "C")
			call := f.subscribe(&test.o)
			want := append(append([]string{"confirmed"}, test.want...), "caught up")
			if diff := cmp.Diff(want, take(t, call, len(want))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			f.fill("x-1", "B")
			f.fill("y-1", "B")
			if diff := cmp.Diff(test.live, take(t, call, len(test.live))); diff != "" {
				t.Errorf("live (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCloseEndsSubscriptionsAndLetsAppendsFinish(t *testing.T) {
	f := newFixture(t)
	call := f.subscribe(&options{StreamOption: allStart})
	take(t, call, 2)
	ctx, cancel := context.WithTimeout(f.ctx, patience)
	defer cancel()
	if err := f.server.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := call.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the subscription ended with %v, want UNAVAILABLE", err)
	}
}

// A sync that does not return holds an append's reply, and no one sees its event.
func TestNothingIsShownBeforeItIsDurable(t *testing.T) {
	var held atomic.Bool
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if held.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			<-release
		}
		return nil
	}))
	f := newFixture(t, func(lo *eventlog.Options, _ *esdbserver.Options) { lo.Dir, lo.FS = "log", fs })
	t.Cleanup(free)
	f.fill("s", "A")
	call := f.subscribe(&options{StreamOption: allStart})
	take(t, call, 3)
	held.Store(true)
	replied := make(chan error, 1)
	go func() {
		_, err := f.append(optionsAny("s"), message("B", "application/json", []byte(`{}`)))
		replied <- err
	}()
	next := make(chan []string, 1)
	go func() { next <- take(t, call, 1) }()
	for range 20 {
		for what, o := range map[string]*options{
			"stream":           {StreamOption: ofStream("s", start), CountOption: count(many)},
			"stream backwards": {StreamOption: ofStream("s", end), CountOption: count(many), ReadDirection: backwards},
			"all":              {StreamOption: allStart, CountOption: count(many)},
			"all backwards":    {StreamOption: allEnd, CountOption: count(many), ReadDirection: backwards},
		} {
			got, err := f.read(o)
			if diff := cmp.Diff([]string{"s@0:A"}, got); diff != "" || err != nil {
				t.Fatalf("%s: %v (-want +got):\n%s", what, err, diff)
			}
		}
		select {
		case err := <-replied:
			t.Fatalf("the append was replied: %v", err)
		case got := <-next:
			t.Fatalf("the subscription was given %q", got)
		case <-time.After(5 * time.Millisecond):
		}
	}
	free()
	if err := <-replied; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"s@1:B"}, <-next); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
