// Recapito is an event-sourced notification ledger: see README.md.
package main

import (
	"os"

	"recapito/cmd"
)

func main() { os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
