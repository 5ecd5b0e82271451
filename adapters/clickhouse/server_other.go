//go:build !linux && !darwin

package clickhouse

import (
	"context"
	"io"
)

// runEngine is never reached: there is no library for these systems, and
// checkLibrary returns an error where it does not.
func runEngine(context.Context, ServerOptions) error { return ErrNoLibrary }

// hideStdin is for the library, which is not there.
func hideStdin(given io.Reader) (io.Reader, error) { return given, nil }
