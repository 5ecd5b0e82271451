package cmd

import (
	"context"

	"recapito/adapters/clickhouse"
)

type clickhouseCmd struct {
	Dir    string `help:"The engine's data folder." required:"" type:"path"`
	Addr   string `help:"Address of its HTTP interface." default:"127.0.0.1:8123"`
	Memory int64  `help:"Bytes that all queries together may take (0: 2 GiB)."`
}

// Run runs the engine until stdin ends: its parent holds the other side.
func (c clickhouseCmd) Run(ctx context.Context, t terminal) error {
	log, err := childLogger(t)
	if err != nil {
		return err
	}
	return clickhouse.RunServer(ctx, clickhouse.ServerOptions{
		Dir: c.Dir, Addr: c.Addr, Memory: c.Memory, Stdin: t.in, Logger: log, Ready: clickhouse.PrintReady(t.out),
	})
}
