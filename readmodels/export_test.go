package readmodels

import (
	"context"
	"io/fs"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// MigrateFrom is Migrate with migrations of a test's own.
func MigrateFrom(ctx context.Context, conn driver.Conn, files fs.FS) error {
	all, err := migrations(files)
	if err != nil {
		return err
	}
	return migrate(ctx, conn, all)
}

// SchemaFiles are the embedded files.
func SchemaFiles() fs.FS { return schema }

// Statements splits a file.
var Statements = statements

// Fill is fill.
var Fill = fill

// SetPartsAtOnce changes how many partial rows one statement of an export merges.
func SetPartsAtOnce(n uint64) (back func()) {
	was := partsAtOnce
	partsAtOnce = n
	return func() { partsAtOnce = was }
}
