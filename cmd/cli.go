// Package cmd is the command line, one file a subcommand. `serve` and `sandbox` run an
// instance, which the package instance wires from the configuration that the package config
// reads. The other verbs find a running instance by its folder's run.json and speak HTTP to
// it; none opens a running instance's folder.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is every verb and its flags.
type cli struct {
	Serve      serveCmd      `cmd:"" help:"Run the ledger on this machine."`
	Sandbox    sandboxCmd    `cmd:"" help:"Run the ledger with an SMSC simulator, sample scenarios and a trickle of notifications."`
	Send       sendCmd       `cmd:"" help:"Request a notification and print its id."`
	Show       showCmd       `cmd:"" help:"Print a notification's timeline."`
	Report     reportCmd     `cmd:"" help:"Print reports, or write them to files: histories, event detail records, accounting, rollups, metrics."`
	Keys       keysCmd       `cmd:"" help:"Make, list and revoke a tenant's API keys."`
	Rebuild    rebuildCmd    `cmd:"" help:"Rebuild a projection from the event store while the instance runs."`
	Audit      auditCmd      `cmd:"" help:"Compare the read models with the ledger."`
	SMSC       smscCmd       `cmd:"" name:"smsc" help:"Run an SMSC simulator (a sandbox: it sends nothing)."`
	Eventlog   eventlogCmd   `cmd:"" name:"eventlog" help:"Work with the event store by itself."`
	ClickHouse clickhouseCmd `cmd:"" name:"clickhouse" help:"Run the embedded ClickHouse engine as a process of its own."`
}

// terminal is what a verb reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
}

// exit ends a verb with a code, its message printed already.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("exit %d", e.code) }

// Main parses the arguments, runs the verb and returns the exit code: 0 done, 1
// failed, 2 wrong usage.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args, terminal{in: in, out: out, err: errOut, environ: os.Environ()})
}

func run(ctx context.Context, args []string, t terminal) int {
	var c cli
	code := -1
	parser, err := kong.New(&c, kong.Name("recapito"), reportVars(), kong.Writers(t.out, t.err), kong.Exit(func(n int) { code = n }),
		kong.Description("An event-sourced notification ledger. `recapito sandbox` shows it at work."),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		_, _ = fmt.Fprintln(t.err, "recapito:", err)
		return 2
	}
	if len(args) == 0 { // whoever types the name alone wants to know what there is
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help was printed
		return code
	}
	if err != nil {
		_, _ = fmt.Fprintf(t.err, "recapito: %v\nTry `recapito --help`.\n", err)
		return 2
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(t)
	var e exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	}
	_, _ = fmt.Fprintln(t.err, "recapito:", err)
	return 1
}

// instanceFlag names the folder of the instance that a verb speaks to.
type instanceFlag struct {
	Data   string `help:"The instance's folder." default:"./data" env:"RECAPITO_DATA" type:"path"`
	Tenant string `help:"The tenant to act for." default:"default"`
}

// pairs reads flags of the form left=right. Errors never hold what was given.
func pairs(flag, form string, given []string) ([][2]string, error) {
	var all [][2]string
	for i, p := range given {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--%s must be %s (number %d of them is not)", flag, form, i+1)
		}
		all = append(all, [2]string{name, value})
	}
	return all, nil
}
