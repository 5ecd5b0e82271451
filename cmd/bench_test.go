package cmd

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"recapito/adapters/clickhouse"
	"recapito/adapters/smpp/sandbox"
	"recapito/commands/retry"
	"recapito/domain/receipt"
	"recapito/domain/tenant"
)

// BenchmarkHTTPToWire measures the main job end to end, instance and simulator as
// processes of their own on this machine: notifications a second from HTTP (batches of
// 100) to submit_sm, sustained.
//
//	go test -run '^$' -bench HTTPToWire -benchtime 20000x ./cmd
func BenchmarkHTTPToWire(b *testing.B) {
	dir := b.TempDir()
	w := benchWorld(b, dir)

	began := time.Now()
	var clients errgroup.Group
	clients.SetLimit(benchClients)
	for first := 0; first < b.N; first += perBatch {
		clients.Go(func() error {
			_, err := sendBatch(b.Context(), w.client, first)
			return err
		})
	}
	if err := clients.Wait(); err != nil {
		b.Fatal(err)
	}
	accepted := time.Since(began)
	sent := (b.N + perBatch - 1) / perBatch * perBatch
	last := w.waitJournal(b, sent)
	b.ReportMetric(float64(sent)/accepted.Seconds(), "accepted/s")
	b.ReportMetric(float64(sent)/last.Sub(began).Seconds(), "submit_sm/s")
}

// BenchmarkSteady sends one by one at 200 a second and measures the time from the 202
// to the submit_sm, and how far behind ClickHouse is.
//
//	go test -run '^$' -bench Steady -benchtime 1x ./cmd
func BenchmarkSteady(b *testing.B) {
	benchWorld(b, b.TempDir()).steady(b)
}

const (
	benchClients  = 8
	steadyRate    = 200
	steadySeconds = 20
)

type benchmarked struct {
	dir        string
	client     *client
	clickhouse string
}

func benchWorld(b *testing.B, dir string) *benchmarked {
	_, smsc := startSMSC(b, dir, "127.0.0.1:0", "--latency", "2ms", "--receipt-delay", "500ms", "--receipt-spread", "500ms")
	p := start(b, "serve", "--config", writeConfig(b, dir, smsc, "      window: 256\n"))
	i := instanceOf(b, p, dir)
	return &benchmarked{dir: dir, client: newClient(i, tenant.Default), clickhouse: clickhouse.Writer + ":" + i.ClickHousePassword + "@" + i.ClickHouse}
}

// waitJournal waits until so many messages reached the simulator and returns when the
// last of them did.
func (w *benchmarked) waitJournal(b *testing.B, n int) time.Time {
	var last time.Time
	eventually(b, 10*time.Minute, func() error {
		entries, err := sandbox.ReadJournal(filepath.Join(w.dir, "smsc"))
		if err != nil {
			return err
		}
		if len(entries) < n {
			time.Sleep(time.Second) // reading it costs the machine that is measured
			return fmt.Errorf("%d of %d have reached the simulator", len(entries), n)
		}
		for _, e := range entries {
			if e.At.After(last) {
				last = e.At
			}
		}
		return nil
	})
	return last
}

// steady sends one by one at a fixed rate.
func (w *benchmarked) steady(b *testing.B) {
	answered := map[string]time.Time{}
	var mu sync.Mutex
	var senders errgroup.Group
	watching, stop := context.WithCancel(b.Context())
	lags := make(chan []time.Duration, 1)
	go func() { lags <- w.watchLag(watching, b) }()
	tick := time.NewTicker(time.Second / steadyRate)
	defer tick.Stop()
	for n := range steadyRate * steadySeconds {
		<-tick.C
		senders.Go(func() error {
			var accepted summary
			body := map[string]any{"scenario": "appointment", "to": map[string][]string{"sms": {testNumber(n)}}}
			if err := w.client.call(b.Context(), http.MethodPost, "/v1/notifications", body, &accepted); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			answered[accepted.ID] = time.Now()
			return nil
		})
	}
	if err := senders.Wait(); err != nil {
		b.Fatal(err)
	}
	stop()
	behind := <-lags
	var latencies []time.Duration
	eventually(b, time.Minute, func() error {
		latencies = nil
		entries, err := sandbox.ReadJournal(filepath.Join(w.dir, "smsc"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			id, _, _ := receipt.ParseReference(e.Reference)
			if at, ok := answered[id]; ok {
				latencies = append(latencies, max(e.At.Sub(at), 0))
			}
		}
		if len(latencies) < len(answered) {
			return fmt.Errorf("%d of %d have reached the simulator", len(latencies), len(answered))
		}
		return nil
	})
	report(b, latencies, "202→submit_sm")
	report(b, behind, "projection-lag")
}

// watchLag looks at the newest event that ClickHouse shows, ten times a second.
func (w *benchmarked) watchLag(ctx context.Context, b *testing.B) []time.Duration {
	conn, err := clickhouse.Open("http://" + w.clickhouse)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer func() { _ = conn.Close() }()
	var lags []time.Duration
	for ctx.Err() == nil {
		var newest time.Time
		if err := conn.QueryRow(ctx, "SELECT max(recorded_at) FROM events WHERE recorded_at > now() - 60").Scan(&newest); err == nil && newest.Year() > 2000 {
			lags = append(lags, time.Since(newest))
		}
		_ = retry.Wait(ctx, 100*time.Millisecond)
	}
	return lags
}

func report(b *testing.B, d []time.Duration, what string) {
	if len(d) == 0 {
		b.Errorf("nothing measured of %s", what)
		return
	}
	slices.Sort(d)
	unit := strings.ReplaceAll(what, " ", "-")
	b.ReportMetric(float64(d[len(d)/2].Milliseconds()), "p50-ms-"+unit)
	b.ReportMetric(float64(d[len(d)*99/100].Milliseconds()), "p99-ms-"+unit)
}
