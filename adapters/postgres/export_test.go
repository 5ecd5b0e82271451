package postgres

import (
	"context"
	"errors"
)

// WaitsForDisk errs if commits of a store's session do not wait until they are durable.
func WaitsForDisk(ctx context.Context, url string) error {
	s, err := Open(ctx, url)
	if err != nil {
		return err
	}
	var mode string
	err = s.pool.QueryRow(ctx, "SHOW synchronous_commit").Scan(&mode)
	if err == nil && mode == "off" {
		err = errors.New("synchronous_commit is off")
	}
	return errors.Join(err, s.Close())
}
