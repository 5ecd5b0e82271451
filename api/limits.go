package api

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of what is taken over HTTP. Those of a request itself stand in commands.
const (
	MaxBodyBytes      = 256 << 10
	MaxBatchBodyBytes = 8 << 20
	MaxBatchItems     = 1000
	// batchWorkers is how many items of a batch are submitted at a time.
	batchWorkers = 32
	// DefaultMaxInFlight is how many requests under /v1 are worked on at a time.
	DefaultMaxInFlight = 1024
	// MaxPage and DefaultPage are events in a page of a history.
	MaxPage     = 1000
	DefaultPage = 100
	// MaxReasonLength of a cancel, in bytes.
	MaxReasonLength = 256
	// maxParameterLength of a query parameter, in bytes.
	maxParameterLength = 512
)

// WriteTimeout bounds writing an answer; of one that is streamed, each piece.
const WriteTimeout = 120 * time.Second

// Times. Writing must outlast the work, or a slow answer would be cut off without one.
const (
	headerTimeout    = 5 * time.Second
	readTimeout      = 30 * time.Second
	requestTimeout   = 30 * time.Second
	batchTimeout     = 60 * time.Second
	reconcileTimeout = 48 * time.Hour // it reads the store many times
	idleTimeout      = 120 * time.Second

	maxHeaderBytes = 16 << 10
)

// NewServer returns an http.Server for the handler with every timeout set. The caller
// listens, serves and shuts it down.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.Default()
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
