package esdbserver

import (
	"math"
	"slices"
	"strings"

	subscriptions "github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"
	"google.golang.org/grpc/codes"

	"recapito/adapters/eventlog/esdbserver/persistent"
)

// Words of a stored filter.
const (
	byStream    = "streamid"
	byEventType = "eventtype"
	isRegex     = "regex"
	isPrefix    = "prefix"
)

// groupSettings is what the messages of Create and of Update have in common.
type groupSettings interface {
	GetResolveLinks() bool
	GetRevision() uint64
	GetExtraStatistics() bool
	GetMaxRetryCount() int32
	GetMinCheckpointCount() int32
	GetMaxCheckpointCount() int32
	GetMaxSubscriberCount() int32
	GetLiveBufferSize() int32
	GetReadBatchSize() int32
	GetHistoryBufferSize() int32
	GetMessageTimeoutTicks() int64
	GetMessageTimeoutMs() int32
	GetCheckpointAfterTicks() int64
	GetCheckpointAfterMs() int32
}

func settingsOf(g groupSettings, group, strategy string) persistent.Settings {
	return persistent.Settings{
		Group: group, ResolveLinks: g.GetResolveLinks(), ExtraStatistics: g.GetExtraStatistics(),
		MessageTimeoutMS:  milliseconds(g.GetMessageTimeoutMs(), g.GetMessageTimeoutTicks()),
		LiveBufferSize:    int(g.GetLiveBufferSize()),
		HistoryBufferSize: int(g.GetHistoryBufferSize()),
		MaxRetryCount:     int(g.GetMaxRetryCount()),
		ReadBatchSize:     int(g.GetReadBatchSize()),
		CheckpointAfterMS: milliseconds(g.GetCheckpointAfterMs(), g.GetCheckpointAfterTicks()),
		MinCheckpoint:     int(g.GetMinCheckpointCount()),
		MaxCheckpoint:     int(g.GetMaxCheckpointCount()),
		MaxSubscribers:    int(g.GetMaxSubscriberCount()),
		Strategy:          strategy,
	}
}

// milliseconds takes either of two forms; a tick is 100 ns.
func milliseconds(ms int32, ticks int64) int {
	const ticksPerMillisecond = 10_000
	if ms != 0 {
		return int(ms)
	}
	return int(min(ticks/ticksPerMillisecond, math.MaxInt32))
}

func createdSettings(o *subscriptions.CreateReq_Options) (persistent.Settings, error) {
	given := o.GetSettings()
	if given == nil {
		return persistent.Settings{}, refuse(codes.InvalidArgument, "a group has settings")
	}
	strategy := given.GetConsumerStrategy()
	if strategy == "" {
		strategy = given.GetNamedConsumerStrategy().String() //nolint:staticcheck // of older clients
	}
	s := settingsOf(given, o.GetGroupName(), strategy)
	var err error
	switch source := o.GetStreamOption().(type) {
	case *subscriptions.CreateReq_Options_All:
		s.Stream = persistent.All
		switch start := source.All.GetAllOption().(type) {
		case *subscriptions.CreateReq_AllOptions_Start:
		case *subscriptions.CreateReq_AllOptions_End:
			s.Start = persistent.FromEnd
		case *subscriptions.CreateReq_AllOptions_Position:
			if s.Start, err = startPosition(start.Position); err != nil {
				return s, err
			}
		default:
			return s, noStart()
		}
		s.Filter, err = storedFilter(source.All.GetFilter())
		return s, err
	case *subscriptions.CreateReq_Options_Stream:
		if s.Stream, err = streamOf(source.Stream.GetStreamIdentifier()); err != nil {
			return s, err
		}
		switch start := source.Stream.GetRevisionOption().(type) {
		case *subscriptions.CreateReq_StreamOptions_Start:
		case *subscriptions.CreateReq_StreamOptions_End:
			s.Start = persistent.FromEnd
		case *subscriptions.CreateReq_StreamOptions_Revision:
			s.Start, err = startRevision(start.Revision)
			return s, err
		default:
			return s, noStart()
		}
		return s, nil
	}
	return olderSource(s, o.GetStreamIdentifier(), given) //nolint:staticcheck // of older clients
}

func updatedSettings(o *subscriptions.UpdateReq_Options) (persistent.Settings, error) {
	given := o.GetSettings()
	if given == nil {
		return persistent.Settings{}, refuse(codes.InvalidArgument, "a group has settings")
	}
	s := settingsOf(given, o.GetGroupName(), given.GetNamedConsumerStrategy().String())
	var err error
	switch source := o.GetStreamOption().(type) {
	case *subscriptions.UpdateReq_Options_All:
		s.Stream = persistent.All
		switch start := source.All.GetAllOption().(type) {
		case *subscriptions.UpdateReq_AllOptions_Start:
		case *subscriptions.UpdateReq_AllOptions_End:
			s.Start = persistent.FromEnd
		case *subscriptions.UpdateReq_AllOptions_Position:
			s.Start, err = startPosition(start.Position)
		default:
			err = noStart()
		}
		return s, err
	case *subscriptions.UpdateReq_Options_Stream:
		if s.Stream, err = streamOf(source.Stream.GetStreamIdentifier()); err != nil {
			return s, err
		}
		switch start := source.Stream.GetRevisionOption().(type) {
		case *subscriptions.UpdateReq_StreamOptions_Start:
		case *subscriptions.UpdateReq_StreamOptions_End:
			s.Start = persistent.FromEnd
		case *subscriptions.UpdateReq_StreamOptions_Revision:
			s.Start, err = startRevision(start.Revision)
		default:
			err = noStart()
		}
		return s, err
	}
	return olderSource(s, o.GetStreamIdentifier(), given) //nolint:staticcheck // of older clients
}

// olderSource is how clients from before 21.6 name a stream and a start.
func olderSource(s persistent.Settings, stream *shared.StreamIdentifier, given groupSettings) (persistent.Settings, error) {
	var err error
	if s.Stream, err = streamOf(stream); err != nil {
		return s, err
	}
	s.Start, err = startRevision(given.GetRevision())
	return s, err
}

func streamOf(name *shared.StreamIdentifier) (string, error) {
	k, err := keyOf("", name, nil)
	return k.Stream, err
}

func noStart() error {
	return refuse(codes.InvalidArgument, "a group has a place to begin at")
}

// startRevision takes all ones for the end.
func startRevision(n uint64) (int64, error) {
	if n == math.MaxUint64 {
		return persistent.FromEnd, nil
	}
	r, err := revisionOf(n)
	return int64(r), err
}

func startPosition(p interface {
	GetCommitPosition() uint64
	GetPreparePosition() uint64
}) (int64, error) {
	commit, prepare := p.GetCommitPosition(), p.GetPreparePosition()
	switch {
	case commit == math.MaxUint64 && prepare == math.MaxUint64:
		return persistent.FromEnd, nil
	case prepare > commit:
		return 0, &persistent.Invalid{Reason: "Invalid Start From position: prepare position must be less than or equal to the commit position."}
	case commit >= math.MaxInt64:
		return 0, refuse(codes.InvalidArgument, "a position is below 2^63 - 1")
	}
	return int64(commit), nil
}

// storedFilter is a filter in the form in which it is kept. Prefixes that the form cannot
// hold become a pattern.
func storedFilter(f *subscriptions.CreateReq_AllOptions_FilterOptions) (*persistent.Filter, error) {
	if f == nil {
		return nil, nil
	}
	stored := &persistent.Filter{IsAllStream: true}
	var expression *subscriptions.CreateReq_AllOptions_FilterOptions_Expression
	switch v := f.GetFilter().(type) {
	case *subscriptions.CreateReq_AllOptions_FilterOptions_StreamIdentifier:
		stored.Context, expression = byStream, v.StreamIdentifier
	case *subscriptions.CreateReq_AllOptions_FilterOptions_EventType:
		stored.Context, expression = byEventType, v.EventType
	default:
		return nil, refuse(codes.InvalidArgument, "a filter is on the stream or on the event type")
	}
	prefixes := expression.GetPrefix()
	switch {
	case expression.GetRegex() != "":
		stored.Type, stored.Data = isRegex, expression.GetRegex()
	case slices.ContainsFunc(prefixes, func(p string) bool { return p == "" || strings.Contains(p, ",") }):
		for i, p := range prefixes {
			prefixes[i] = regexp2.Escape(p)
		}
		stored.Type, stored.Data = isRegex, "^(?:"+strings.Join(prefixes, "|")+")"
	default:
		stored.Type, stored.Data = isPrefix, strings.Join(prefixes, ",")
	}
	return stored, nil
}

func expressionOf(f persistent.Filter) *streams.ReadReq_Options_FilterOptions_Expression {
	if f.Type == isRegex {
		return &streams.ReadReq_Options_FilterOptions_Expression{Regex: f.Data}
	}
	prefixes := slices.DeleteFunc(strings.Split(f.Data, ","), func(p string) bool { return p == "" })
	return &streams.ReadReq_Options_FilterOptions_Expression{Prefix: prefixes}
}
