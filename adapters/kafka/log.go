package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/time/rate"
)

// busLog is the log of watermill, whose "info" reports every subscription and
// reconnection: that is debug to us.
func busLog(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug,
	})
}

// retryLog is the log of failed tries, which are warnings: an error is logged at the end.
func retryLog(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l, map[slog.Level]slog.Level{
		slog.LevelError: slog.LevelWarn,
	})
}

// How often a subscription may complain of its connection: while a broker is away it
// has an error for every partition and try.
const complaintInterval = 5 * time.Second

// subscriptionLog is the log of one subscription. Its errors are warnings, as it
// reconnects by itself.
type subscriptionLog struct {
	watermill.LoggerAdapter
	logger *slog.Logger
	often  *rate.Limiter
}

func newSubscriptionLog(l *slog.Logger) subscriptionLog {
	return subscriptionLog{
		LoggerAdapter: busLog(l), logger: l, often: rate.NewLimiter(rate.Every(complaintInterval), 1),
	}
}

// With keeps the one logger: its fields are there already as topic and group.
func (l subscriptionLog) With(watermill.LogFields) watermill.LoggerAdapter { return l }

func (l subscriptionLog) Error(msg string, err error, _ watermill.LogFields) {
	if l.often.Allow() {
		l.logger.Warn("subscription: "+msg, slog.Any("error", err))
	}
}

// brokerLog is the log of the embedded broker, whose "info" reports every request.
type brokerLog struct{ *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
	if ctx := context.Background(); l.Enabled(ctx, to) {
		l.Log(ctx, to, "embedded kafka: "+fmt.Sprintf(format, args...))
	}
}
