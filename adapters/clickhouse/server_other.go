//go:build !linux && !darwin

package clickhouse

import "context"

// runEngine is never reached: there is no library for these systems, and
// checkLibrary says so.
func runEngine(context.Context, ServerOptions) error { return ErrNoLibrary }
