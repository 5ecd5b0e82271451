package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"recapito/commands/retry"
)

// DefaultHangAfter is how long a child may leave everything unanswered, even /ping, which needs
// no engine and no slot. It is far more than a busy machine delays it.
const DefaultHangAfter = 30 * time.Second

// A child is asked this many times within its HangAfter; when none succeeds, it
// hangs.
const hangProbes = 3

var errHangs = errors.New("the ClickHouse engine does not respond")

// watch pings the child again and again, and kills one that hangs:
// supervise then starts another. The function it returns ends the watch and waits for
// its end.
func (s *Supervised) watch(c *child) (unwatch func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.probe(ctx, c)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func (s *Supervised) probe(ctx context.Context, c *child) {
	every := s.options.HangAfter / hangProbes
	client := http.Client{Timeout: every, Transport: &http.Transport{DisableKeepAlives: true}}
	for failures := 0; ; {
		if retry.Wait(ctx, every) != nil {
			return
		}
		err := ping(ctx, &client, "http://"+s.addr+"/ping")
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failures > 0:
			failures = 0
			s.setState(nil, c.cmd.Process)
		case err != nil:
			failures++
			s.setState(fmt.Errorf("%w: %w", errHangs, err), c.cmd.Process)
		}
		if failures == hangProbes {
			s.logger.Error("ClickHouse engine hangs and is killed", "error", err)
			_ = c.cmd.Process.Kill()
			return
		}
	}
}

func ping(ctx context.Context, client *http.Client, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("make a ping: %w", err)
	}
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<10)); err != nil {
		return fmt.Errorf("read the response to a ping: %w", err)
	}
	return nil
}
