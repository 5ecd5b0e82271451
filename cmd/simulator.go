package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// simulatorProcess is `recapito smsc` as a child: it ends when its stdin does, however
// this process died.
type simulatorProcess struct {
	addr  string
	child *exec.Cmd
	stdin io.Closer
}

func startSimulator(ctx context.Context, c Config, t terminal) (*simulatorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	addr := smscAddr
	if freePort(c.HTTP.Addr) {
		addr = "127.0.0.1:0"
	}
	child := exec.Command(self, "smsc", "--until-stdin-ends", "--data", c.Data, "--addr", addr, //nolint:gosec // this program itself
		"--receipt-delay", "500ms", "--receipt-spread", "1s", "--undelivered", sampleUndelivered, "--seed", sampleSeed, "--system-id", "recapito")
	child.Env = append(os.Environ(), "RECAPITO_LOG_LEVEL="+c.Log.Level)
	child.Stderr = t.err
	stdin, err := child.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the SMSC simulator: %w", err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the SMSC simulator: %w", err)
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("starting the SMSC simulator: %w", err)
	}
	p := &simulatorProcess{child: child, stdin: stdin}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n') // an early end is an empty line
		line <- strings.TrimSpace(text)
	}()
	select {
	case p.addr = <-line:
	case <-ctx.Done():
	case <-time.After(simulatorStart):
	}
	if p.addr == "" {
		p.stop()
		return nil, errors.New("the SMSC simulator did not start; its own message is above")
	}
	return p, nil
}

// stop ends the child and waits for it; one that hangs is killed.
func (p *simulatorProcess) stop() {
	_ = p.stdin.Close()
	killer := time.AfterFunc(simulatorStart, func() { _ = p.child.Process.Kill() })
	defer killer.Stop()
	_ = p.child.Wait()
}
