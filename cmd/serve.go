package cmd

import (
	"context"
	"errors"
	"fmt"

	"recapito/cmd/config"
	"recapito/cmd/instance"
)

type serveCmd struct {
	Config string `help:"Configuration file." type:"existingfile" short:"c" env:"RECAPITO_CONFIG"`
	Data   string `help:"The instance's folder (default ./data)." type:"path"`
	HTTP   string `name:"http" help:"Address of the HTTP API (default 127.0.0.1:8080); port 0 makes every port that is not set a free one."`
}

// Run runs an instance until it is stopped.
func (s serveCmd) Run(ctx context.Context, t terminal) error {
	letHeapGrow()
	c, err := s.configuration(t)
	if err != nil {
		return err
	}
	log, err := c.Logger(t.err)
	if err != nil {
		return err
	}
	if err := refuseRunning(ctx, c.Data); err != nil {
		return err
	}
	scenarios, err := instance.LoadScenarios(c, log)
	if err != nil {
		return err
	}
	l, err := instance.Open(ctx, c, scenarios, log)
	if err != nil {
		return err
	}
	return l.Run(ctx, func(i instance.RunFile) {
		_, _ = fmt.Fprintf(t.out, "recapito is ready: http://%s/docs\n", i.HTTP)
	})
}

func (s serveCmd) configuration(t terminal) (config.Config, error) {
	c, err := config.Load(s.Config, t.environ, instance.Kinds)
	if err != nil {
		return c, err
	}
	if s.Data != "" {
		c.Data = s.Data
	}
	if s.HTTP != "" {
		c.HTTP.Addr = s.HTTP
	}
	if config.FreePort(c.HTTP.Addr) {
		c.ZeroPorts()
	}
	if s.HTTP != "" && !config.IsAddress(s.HTTP) {
		return c, errors.New("--http must be host:port, such as 127.0.0.1:8080 (127.0.0.1:0 picks free ports)")
	}
	return c, nil
}
