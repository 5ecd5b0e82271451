// Package reports is the read models over HTTP: event detail records, histories, sums,
// rollups and metrics, each a page of JSON or a file of every row with its manifest.
//
// Promises: a file that is not complete is never taken for one (its trailers are missing and
// its connection breaks); a report as of a time is the same for ever; the look-up of a
// person is in the ledger's record before it is returned.
package reports

import (
	"net/http"
	"time"

	"recapito/api"
	"recapito/commands/intake"
)

// Sources are what the reports are made from. Without Reports every path returns 503.
type Sources struct {
	Reports       Reports
	Persons       *intake.Lookup
	Notifications api.Notifications
	Passed        Passed
}

type service struct {
	Sources
	server *api.Server
	files  chan struct{} // one a file that is being written
}

// New makes the resource.
func New(from Sources) api.Resource {
	return func(server *api.Server) {
		s := &service{Sources: from, server: server, files: make(chan struct{}, maxFiles)}
		server.Allow(func(r *http.Request) time.Duration {
			if wantsFile(r) {
				return fileTimeout
			}
			return 0
		})
		// The reports, one line each.
		s.edr()
		s.history()
		s.accounting()
		s.rollups()
		s.metrics()
	}
}

// maxFiles is how many files are written at a time, fileBuffer how many bytes of each go
// out at a time, and fileTimeout how long one may take.
const (
	maxFiles    = 8
	fileBuffer  = 64 << 10
	fileTimeout = time.Hour
)
