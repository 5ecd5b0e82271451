package bench

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"recapito/domain/event"
	"recapito/projections/follow"
)

const (
	idleSamples  = 150
	idlePause    = 600 * time.Millisecond // longer than what a few events keep the next ones waiting
	showPoll     = 2 * time.Millisecond
	loadWriters  = 64
	loadEvery    = 20 * time.Millisecond // between two samples under load
	goalIdleLag  = 300                   // ms
	goalLoadLag  = 2000                  // ms
	loadedEvents = 8_000                 // a second, what the ledger takes of one machine
)

// BenchmarkLag measures how long after its append was acknowledged an event shows: with
// nothing else to do, and while the store takes events as fast as the whole system does.
func BenchmarkLag(b *testing.B) {
	log, events := store(b, 100_000)
	models := newReadModels(b)
	p := project(b, log, follow.ClickHouse(models.Conn, nil))
	p.settle(b, "projecting what there is", events)

	var idle []time.Duration
	for range idleSamples {
		time.Sleep(idlePause)
		a := filled.from.Next()
		_, err := log.Append(b.Context(), a.Stream, event.Any(), a.Events)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		filled.events += uint64(len(a.Events))
		for n := uint64(0); n < uint64(len(a.Events)); time.Sleep(showPoll) {
			const query = "SELECT count() FROM events WHERE stream = {stream:String} AND revision >= {first:UInt64}"
			err := models.QueryRow(b.Context(), query, clickhouse.Named("stream", a.Stream), clickhouse.Named("first", uint64(a.First))).Scan(&n)
			if err != nil {
				b.Fatal(err)
			}
		}
		idle = append(idle, time.Since(began))
	}
	figures.atMost("lag, idle, p99", millis(quantile(idle, 99)), goalIdleLag, "ms")
	figures.add("lag, idle, p50", 0, format("%.4g ms", millis(quantile(idle, 50))), "")

	lags, rate := underLoad(b, p, sized(10*time.Second, time.Minute))
	figures.atMost(format("lag of every table at %.0f events/s, p99", rate), millis(quantile(lags, 99)), goalLoadLag, "ms")
	figures.add("lag under load, p50", 0, format("%.4g ms", millis(quantile(lags, 50))), "")
	b.ReportMetric(0, "ns/op")
}

// underLoad appends for that long and answers the lags of all samples.
func underLoad(b *testing.B, p running, length time.Duration) ([]time.Duration, float64) {
	b.Helper()
	type sample struct {
		at       time.Time
		position event.Position
	}
	ctx, cancel := context.WithTimeout(b.Context(), length)
	defer cancel()
	var (
		making  sync.Mutex // the generator is one
		mu      sync.Mutex
		open    []sample
		last    sample
		written uint64
		all     sync.WaitGroup
	)
	began := time.Now()
	for range loadWriters {
		all.Go(func() {
			for ctx.Err() == nil {
				making.Lock()
				a := filled.from.Next()
				written += uint64(len(a.Events))
				ahead := time.Duration(float64(written)/loadedEvents*float64(time.Second)) - time.Since(began)
				making.Unlock()
				if ahead > 0 {
					time.Sleep(ahead)
				}
				// Any: what came before it in its stream may still be on its way.
				done, err := filled.log.Append(b.Context(), a.Stream, event.Any(), a.Events)
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				if done.Position > last.position {
					last = sample{time.Now(), done.Position}
				}
				mu.Unlock()
			}
		})
	}
	var lags []time.Duration
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for ctx.Err() == nil || len(open) > 0 {
		<-tick.C
		mu.Lock()
		if ctx.Err() == nil && last.position > 0 && (len(open) == 0 || open[len(open)-1] != last) {
			open = append(open, last)
		}
		mu.Unlock()
		shown := event.PositionEnd
		for _, s := range p.States() {
			shown = min(shown, s.Position)
		}
		for len(open) > 0 && open[0].position <= shown {
			lags = append(lags, time.Since(open[0].at))
			open = open[1:]
		}
	}
	all.Wait()
	filled.events += written
	return lags, float64(written) / length.Seconds()
}

// quantile is the nearest-rank one: the least that so many percent are not above.
func quantile(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max((len(sorted)*percent+99)/100, 1)-1]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
