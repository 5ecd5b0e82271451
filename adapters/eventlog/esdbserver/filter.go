package esdbserver

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"
	"google.golang.org/grpc/codes"

	"recapito/adapters/eventlog"
)

// Limits of a filter.
const (
	maxPatternBytes  = 4096
	maxPrefixes      = 1024
	matchTimeout     = 100 * time.Millisecond // of one pattern on one name: it may backtrack
	defaultWindow    = 32                     // events looked at, times the multiplier: a checkpoint
	maxCheckpointGap = 1 << 20
)

// filtered is a filter of the protocol, ready for use.
type filtered struct {
	match      eventlog.Match // nil: everything passes
	checkpoint int            // events looked at between two checkpoints
}

func filterOf(o *streams.ReadReq_Options) (filtered, error) {
	f := o.GetFilter()
	if f == nil {
		return filtered{}, nil
	}
	window := uint64(defaultWindow)
	if max := f.GetMax(); max > 0 {
		window = uint64(max)
	}
	every := min(window*uint64(max(f.GetCheckpointIntervalMultiplier(), 1)), maxCheckpointGap)
	var expression *streams.ReadReq_Options_FilterOptions_Expression
	byStream := false
	switch v := f.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		expression, byStream = v.StreamIdentifier, true
	case *streams.ReadReq_Options_FilterOptions_EventType:
		expression = v.EventType
	default:
		return filtered{}, refuse(codes.InvalidArgument, "a filter is on the stream or on the event type")
	}
	passes, err := compile(expression)
	if err != nil {
		return filtered{}, err
	}
	match := func(stream, typ string) (bool, error) {
		if byStream {
			return passes(stream)
		}
		return passes(typ)
	}
	return filtered{match: match, checkpoint: int(every)}, nil
}

func compile(e *streams.ReadReq_Options_FilterOptions_Expression) (func(string) (bool, error), error) {
	if e.GetRegex() == "" {
		prefixes := e.GetPrefix()
		if len(prefixes) == 0 || len(prefixes) > maxPrefixes {
			return nil, refuse(codes.InvalidArgument, fmt.Sprintf("a filter has a pattern or 1 to %d prefixes", maxPrefixes))
		}
		return func(name string) (bool, error) {
			return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }), nil
		}, nil
	}
	if len(e.GetRegex()) > maxPatternBytes {
		return nil, refuse(codes.InvalidArgument, fmt.Sprintf("a pattern has at most %d bytes", maxPatternBytes))
	}
	// The dialect is .NET's, look-ahead and all, as clients send it.
	pattern, err := regexp2.Compile(e.GetRegex(), regexp2.None)
	if err != nil {
		return nil, refuse(codes.InvalidArgument, "the filter's pattern is malformed")
	}
	pattern.MatchTimeout = matchTimeout
	return func(name string) (bool, error) {
		ok, err := pattern.MatchString(name)
		if err != nil {
			return false, refuse(codes.ResourceExhausted, "the filter's pattern takes too long")
		}
		return ok, nil
	}, nil
}
