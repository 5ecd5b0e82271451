package cmd

import (
	"context"

	"recapito/adapters/clickhouse"
	"recapito/cmd/config"
)

type clickhouseCmd struct {
	Dir    string `help:"The engine's data folder." required:"" type:"path"`
	Addr   string `help:"Address of its HTTP interface." default:"127.0.0.1:8123"`
	Memory int64  `help:"Bytes that all queries together may take (0: 2 GiB)."`

	UntilStdin bool `name:"until-stdin-ends" hidden:"" help:"End when stdin does."`
}

// Run runs the engine until it is stopped; as an instance's child, until stdin
// ends: its parent holds the other side. Its first line of output is its address.
func (c clickhouseCmd) Run(ctx context.Context, t terminal) error {
	log, err := config.ChildLogger(t.environ, t.err)
	if err != nil {
		return err
	}
	o := clickhouse.ServerOptions{Dir: c.Dir, Addr: c.Addr, Memory: c.Memory, Logger: log, Ready: clickhouse.PrintReady(t.out)}
	if c.UntilStdin {
		o.Stdin = t.in
	}
	return clickhouse.RunServer(ctx, o)
}
