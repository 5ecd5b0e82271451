package instance

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

	"recapito/cmd/config"
)

// Simulator is `recapito smsc` as a child: it ends when its stdin does, however
// this process died.
type Simulator struct {
	// Addr is where it listens.
	Addr  string
	child *exec.Cmd
	stdin io.Closer
}

const simulatorStart = 20 * time.Second

// StartSimulator starts it on the standard port, or on a free one where the instance has
// free ports, and waits until it listens. Its log goes to errOut.
func StartSimulator(ctx context.Context, c config.Config, errOut io.Writer, args ...string) (*Simulator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	addr := config.SMSCAddr
	if config.FreePort(c.HTTP.Addr) {
		addr = "127.0.0.1:0"
	}
	child := exec.Command(self, append([]string{"smsc", "--until-stdin-ends", "--data", c.Data, "--addr", addr}, args...)...) //nolint:gosec // this program itself
	child.Env = append(os.Environ(), "RECAPITO_LOG_LEVEL="+c.Log.Level)
	child.Stderr = errOut
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
	p := &Simulator{child: child, stdin: stdin}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n') // an early end is an empty line
		line <- strings.TrimSpace(text)
	}()
	select {
	case p.Addr = <-line:
	case <-ctx.Done():
	case <-time.After(simulatorStart):
	}
	if p.Addr == "" {
		p.Stop()
		return nil, errors.New("the SMSC simulator did not start; its own message is above")
	}
	return p, nil
}

// Stop ends the child and waits for it; one that hangs is killed.
func (p *Simulator) Stop() {
	_ = p.stdin.Close()
	killer := time.AfterFunc(simulatorStart, func() { _ = p.child.Process.Kill() })
	defer killer.Stop()
	_ = p.child.Wait()
}
