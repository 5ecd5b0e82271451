package bench

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"recapito/domain/event"
)

const (
	dataBytes       = 300
	metadataBytes   = 100
	appendsOfStream = 3
	eventType       = "NotificationRequested"
)

// payloads are what events hold: text of random letters, of which a compressor saves a
// quarter.
var payloads = func() (p [1024]struct{ data, metadata []byte }) {
	r := rand.New(rand.NewPCG(1, 1))
	text := func(size int) []byte {
		raw := make([]byte, size)
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		return []byte(`"` + base64.RawStdEncoding.EncodeToString(raw)[:size-2] + `"`)
	}
	for i := range p {
		p[i].data, p[i].metadata = text(dataBytes), text(metadataBytes)
	}
	return p
}()

// source makes the appends of one writer.
type source struct {
	random   *rand.Rand
	stream   string
	revision event.Revision // of the next event
}

// input is one append of one event.
type input struct {
	stream   string
	revision event.Revision
	event    event.New
}

func newSource(writer int) *source {
	return &source{random: rand.New(rand.NewPCG(uint64(writer), uint64(time.Now().UnixNano())))}
}

func (s *source) uuid() string {
	var id uuid.UUID
	binary.LittleEndian.PutUint64(id[:], s.random.Uint64())
	binary.LittleEndian.PutUint64(id[8:], s.random.Uint64())
	return id.String()
}

func (s *source) next() input {
	if s.revision == appendsOfStream || s.stream == "" {
		s.stream, s.revision = "notification-"+s.uuid(), 0
	}
	p := &payloads[s.random.IntN(len(payloads))]
	in := input{stream: s.stream, revision: s.revision, event: event.New{ID: s.uuid(), Type: eventType, Data: p.data, Metadata: p.metadata}}
	s.revision++
	return in
}

// expected is what the append expects of its stream.
func (in input) expected() event.Expected {
	if in.revision == 0 {
		return event.NoStream()
	}
	return event.Exact(in.revision - 1)
}

// bytes appends all that a store must keep of it.
func (in input) bytes(dst []byte) []byte {
	dst = append(dst, in.event.ID...)
	dst = append(dst, in.stream...)
	dst = append(dst, in.event.Type...)
	dst = append(dst, in.event.Data...)
	return append(dst, in.event.Metadata...)
}

// work is one writer's way to commit an input durably; n counts over all writers.
type work func(n int64, in input) error

// load shares b.N appends out to the writers and reports the rate and the latencies.
func load(b *testing.B, writers int, worker func(writer int) work) {
	var next atomic.Int64
	latencies := make([][]time.Duration, writers)
	var wg sync.WaitGroup
	b.ReportAllocs()
	before := cpuTime()
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			do, from := worker(w), newSource(w)
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				in := from.next()
				start := time.Now()
				if err := do(n, in); err != nil {
					b.Error(err)
					return
				}
				latencies[w] = append(latencies[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(micros(cpuTime()-before)/float64(b.N), "cpu-µs/op")
	report(b, slices.Concat(latencies...))
}

func report(b *testing.B, latencies []time.Duration) {
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(len(latencies))/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(micros(latencies[len(latencies)/2]), "p50-µs")
	b.ReportMetric(micros(latencies[len(latencies)*99/100]), "p99-µs")
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// cpuTime is what this process used of all processors: on a busy machine it tells more
// than the rate.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
