package esdbserver_test

import (
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"recapito/domain/event"
)

type (
	options   = streams.ReadReq_Options
	streamOpt = streams.ReadReq_Options_StreamOptions
	allOpt    = streams.ReadReq_Options_AllOptions
)

func ofStream(stream string, change func(*streamOpt)) *streams.ReadReq_Options_Stream {
	o := &streamOpt{StreamIdentifier: name(stream)}
	change(o)
	return &streams.ReadReq_Options_Stream{Stream: o}
}

func start(o *streamOpt) { o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Start{} }
func end(o *streamOpt)   { o.RevisionOption = &streams.ReadReq_Options_StreamOptions_End{} }
func from(r uint64) func(*streamOpt) {
	return func(o *streamOpt) {
		o.RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: r}
	}
}

var (
	allStart = &streams.ReadReq_Options_All{All: &allOpt{AllOption: &streams.ReadReq_Options_AllOptions_Start{}}}
	allEnd   = &streams.ReadReq_Options_All{All: &allOpt{AllOption: &streams.ReadReq_Options_AllOptions_End{}}}
)

func allFrom(p uint64) *streams.ReadReq_Options_All {
	return &streams.ReadReq_Options_All{All: &allOpt{AllOption: &streams.ReadReq_Options_AllOptions_Position{
		Position: &streams.ReadReq_Options_Position{CommitPosition: p, PreparePosition: p},
	}}}
}

func count(n uint64) *streams.ReadReq_Options_Count { return &streams.ReadReq_Options_Count{Count: n} }

const (
	forwards  = streams.ReadReq_Options_Forwards
	backwards = streams.ReadReq_Options_Backwards
	many      = 1<<64 - 1
)

func TestReadOfAStream(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A", "B", "C")
	all := []string{"s@0:A", "s@1:B", "s@2:C"}
	back := []string{"s@2:C", "s@1:B", "s@0:A"}
	newer := &streams.ReadReq_Options_ControlOption{Compatibility: 1}
	tests := map[string]*struct {
		o    options
		want []string
	}{
		"start":               {options{StreamOption: ofStream("s", start), CountOption: count(many)}, all},
		"start, limit":        {options{StreamOption: ofStream("s", start), CountOption: count(2)}, all[:2]},
		"nothing asked for":   {options{StreamOption: ofStream("s", start), CountOption: count(0)}, nil},
		"revision":            {options{StreamOption: ofStream("s", from(1)), CountOption: count(many)}, all[1:]},
		"end forwards":        {options{StreamOption: ofStream("s", end), CountOption: count(many)}, nil},
		"end backwards":       {options{StreamOption: ofStream("s", end), CountOption: count(many), ReadDirection: backwards}, back},
		"revision backwards":  {options{StreamOption: ofStream("s", from(1)), CountOption: count(many), ReadDirection: backwards}, back[1:]},
		"start backwards":     {options{StreamOption: ofStream("s", start), CountOption: count(many), ReadDirection: backwards}, back[2:]},
		"beyond the end":      {options{StreamOption: ofStream("s", from(9)), CountOption: count(many)}, nil},
		"none":                {options{StreamOption: ofStream("none", start), CountOption: count(many)}, []string{"not found"}},
		"positions":           {options{StreamOption: ofStream("s", start), CountOption: count(1), ControlOption: newer}, []string{"s@0:A", "last 2"}},
		"positions, beyond":   {options{StreamOption: ofStream("s", from(9)), CountOption: count(1), ControlOption: newer}, []string{"first 3", "last 2"}},
		"positions, next one": {options{StreamOption: ofStream("s", from(3)), CountOption: count(1), ControlOption: newer}, []string{"last 2"}},
		"positions, none":     {options{StreamOption: ofStream("none", from(9)), CountOption: count(1), ControlOption: newer}, []string{"not found"}},
	}
	for what, test := range tests {
		got, err := f.read(&test.o)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func byStream(e *streams.ReadReq_Options_FilterOptions_Expression) *streams.ReadReq_Options_Filter {
	return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: e}, CheckpointIntervalMultiplier: 1,
		Window: &streams.ReadReq_Options_FilterOptions_Max{Max: 4},
	}}
}

func byType(e *streams.ReadReq_Options_FilterOptions_Expression) *streams.ReadReq_Options_Filter {
	return &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
		Filter: &streams.ReadReq_Options_FilterOptions_EventType{EventType: e}, CheckpointIntervalMultiplier: 2,
		Window: &streams.ReadReq_Options_FilterOptions_Count{Count: &shared.Empty{}},
	}}
}

func prefixes(p ...string) *streams.ReadReq_Options_FilterOptions_Expression {
	return &streams.ReadReq_Options_FilterOptions_Expression{Prefix: p}
}

func regex(p string) *streams.ReadReq_Options_FilterOptions_Expression {
	return &streams.ReadReq_Options_FilterOptions_Expression{Regex: p}
}

func TestReadOfAll(t *testing.T) {
	f := newFixture(t)
	f.fill("x-1", "A", "$B")      // positions 1, 2
	f.fill("y-1", "AB")           // 3
	f.fill("$system", "C", "Abc") // 4, 5
	all := []string{"x-1@0:A", "x-1@1:$B", "y-1@0:AB", "$system@0:C", "$system@1:Abc"}
	tests := map[string]*struct {
		o    options
		want []string
	}{
		"start":                   {options{StreamOption: allStart}, all},
		"a position is included":  {options{StreamOption: allFrom(3)}, all[2:]},
		"backwards it is not":     {options{StreamOption: allFrom(3), ReadDirection: backwards}, []string{all[1], all[0]}},
		"end backwards, limit":    {options{StreamOption: allEnd, ReadDirection: backwards, CountOption: count(1)}, all[4:]},
		"end forwards":            {options{StreamOption: allEnd}, nil},
		"all ones is the end":     {options{StreamOption: allFrom(many), ReadDirection: backwards, CountOption: count(1)}, all[4:]},
		"stream prefixes":         {options{StreamOption: allStart, FilterOption: byStream(prefixes("y", "x-"))}, all[:3]},
		"type prefix":             {options{StreamOption: allStart, FilterOption: byType(prefixes("A"))}, []string{all[0], all[2], all[4]}},
		"type prefix, limit":      {options{StreamOption: allStart, FilterOption: byType(prefixes("A")), CountOption: count(2)}, []string{all[0], all[2]}},
		"type prefix, backwards":  {options{StreamOption: allEnd, FilterOption: byType(prefixes("A")), ReadDirection: backwards, CountOption: count(2)}, []string{all[4], all[2]}},
		"pattern":                 {options{StreamOption: allStart, FilterOption: byStream(regex(`^[xy]-\d$`))}, all[:3]},
		"pattern with look-ahead": {options{StreamOption: allStart, FilterOption: byType(regex(`^(?!(\$|A$))`))}, all[2:]},
	}
	for what, test := range tests {
		if test.o.CountOption == nil {
			test.o.CountOption = count(many)
		}
		got, err := f.read(&test.o)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

func TestReadsThatAreRefused(t *testing.T) {
	f := newFixture(t)
	f.fill("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "A")
	subscribe := &streams.ReadReq_Options_Subscription{}
	tests := map[string]*struct {
		o    options
		want codes.Code
	}{
		"no stream":             {options{CountOption: count(1)}, codes.InvalidArgument},
		"no count":              {options{StreamOption: allStart}, codes.InvalidArgument},
		"no place":              {options{StreamOption: ofStream("s", func(*streamOpt) {}), CountOption: count(1)}, codes.InvalidArgument},
		"empty name":            {options{StreamOption: ofStream("", start), CountOption: count(1)}, codes.InvalidArgument},
		"position beyond":       {options{StreamOption: allFrom(1 << 63), CountOption: count(1)}, codes.InvalidArgument},
		"filter on a stream":    {options{StreamOption: ofStream("s", start), CountOption: count(1), FilterOption: byType(prefixes("A"))}, codes.InvalidArgument},
		"empty filter":          {options{StreamOption: allStart, CountOption: count(1), FilterOption: byType(prefixes())}, codes.InvalidArgument},
		"malformed pattern":     {options{StreamOption: allStart, CountOption: count(1), FilterOption: byType(regex(`(`))}, codes.InvalidArgument},
		"pattern without end":   {options{StreamOption: allStart, CountOption: count(1), FilterOption: byStream(regex(`^(a+)+$`))}, codes.ResourceExhausted},
		"subscribing backwards": {options{StreamOption: allStart, CountOption: subscribe, ReadDirection: backwards}, codes.InvalidArgument},
	}
	for what, test := range tests {
		if _, err := f.read(&test.o); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
}

func TestIDsAndMetadataOfEvents(t *testing.T) {
	f := newFixture(t)
	id := uuid.New()
	json := event.New{ID: id.String(), Type: "A", Data: []byte(`{"a":1}`), Metadata: []byte(`{}`)}
	binary := event.New{ID: uuid.NewString(), Type: "B", Data: []byte{0xff}, Binary: true}
	before := time.Now()
	if _, err := f.log.Append(f.ctx, "s", event.Any(), []event.New{json, binary}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []bool{true, false} {
		o := &options{StreamOption: ofStream("s", start), CountOption: count(many), UuidOption: &streams.ReadReq_Options_UUIDOption{}}
		if text {
			o.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
		}
		call, err := f.streams.Read(f.ctx, &streams.ReadReq{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		first, err := call.Recv()
		if err != nil {
			t.Fatal(err)
		}
		second, err := call.Recv()
		if err != nil {
			t.Fatal(err)
		}
		e := first.GetEvent().GetEvent()
		if text && e.GetId().GetString_() != id.String() {
			t.Errorf("id %v, want %v as text", e.GetId(), id)
		}
		if s := e.GetId().GetStructured(); !text && (uint64(s.GetMostSignificantBits())>>32 != uint64(id.ID())) {
			t.Errorf("id %v, want %v as numbers", e.GetId(), id)
		}
		m := e.GetMetadata()
		if m["type"] != "A" || m["content-type"] != "application/json" || second.GetEvent().GetEvent().GetMetadata()["content-type"] != "application/octet-stream" {
			t.Errorf("metadata %v", m)
		}
		if p := first.GetEvent().GetCommitPosition(); p != e.GetCommitPosition() || p != e.GetPreparePosition() || p == 0 {
			t.Errorf("positions %d, %d, %d", p, e.GetCommitPosition(), e.GetPreparePosition())
		}
		created, err := time.ParseDuration(m["created"] + "00ns")
		if err != nil || time.Unix(0, int64(created)).Before(before.Add(-time.Second)) || time.Unix(0, int64(created)).After(time.Now()) {
			t.Errorf("created %q: %v", m["created"], err)
		}
	}
}

func TestLinksAreResolvedIfAsked(t *testing.T) {
	f := newFixture(t)
	f.fill("s", "A", "B")
	for _, data := range []string{"1@s", "7@s", "0@none", "nonsense"} {
		e := event.New{ID: uuid.NewString(), Type: "$>", Data: []byte(data), Binary: true}
		if _, err := f.log.Append(f.ctx, "links", event.Any(), []event.New{e}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := f.read(&options{StreamOption: ofStream("links", start), CountOption: count(many), ResolveLinks: true})
	if diff := cmp.Diff([]string{"s@1:B by links@0", "link to nothing", "link to nothing", "link to nothing"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = f.read(&options{StreamOption: ofStream("links", start), CountOption: count(1)})
	if diff := cmp.Diff([]string{"links@0:$>"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestCategoriesAndTypesAreStreamsOfLinks(t *testing.T) {
	f := newFixture(t)
	f.fill("order-1", "Placed", "Paid")
	f.fill("order-2", "Placed")
	for stream, want := range map[string][]string{
		"$ce-order":  {"order-1@0:Placed by $ce-order@0", "order-1@1:Paid by $ce-order@1", "order-2@0:Placed by $ce-order@2"},
		"$et-Placed": {"order-1@0:Placed by $et-Placed@0", "order-2@0:Placed by $et-Placed@1"},
	} {
		got, err := f.read(&options{StreamOption: ofStream(stream, start), CountOption: count(many), ResolveLinks: true})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	got, err := f.read(&options{StreamOption: allStart, CountOption: count(many)})
	if diff := cmp.Diff([]string{"order-1@0:Placed", "order-1@1:Paid", "order-2@0:Placed"}, got); diff != "" || err != nil {
		t.Errorf("links stand in $all: %v (-want +got):\n%s", err, diff)
	}
}
