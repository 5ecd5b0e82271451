package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	clickhouse "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Database is the database of the read models, and of every request that
// names none. It is an Atomic one: EXCHANGE TABLES, refreshable views and
// UNDROP need that.
const Database = "recapito"

// Limits of the client. An URL's own parameters (max_open_conns, dial_timeout,
// …) go before them.
const (
	dialPatience  = 5 * time.Second
	replyPatience = 11 * time.Minute // a write may run ten, see writeSeconds
	maxOpenConns  = 16
	maxIdleConns  = 8
)

// Open returns a client of the ClickHouse at rawURL: http:// and https:// speak
// its HTTP interface (the embedded engine's), clickhouse:// and
// clickhouses:// its native protocol (the latter over TLS). The URL's path
// names the database, recapito if it has none; its parameters are
// clickhouse-go's, and everything else in them is a setting of every query.
// Without a compress parameter, native connections and TLS use LZ4, and plain
// HTTP, which is the loopback's, nothing.
//
// Open does no I/O: a ClickHouse that is down is an error of the first query,
// and of no later one once it is back.
func Open(rawURL string) (driver.Conn, error) {
	options, err := clientOptions(rawURL)
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open the ClickHouse client: %w", err)
	}
	return conn, nil
}

// CreateDatabase creates the URL's database if it is not there; a query in a
// database that does not exist is refused. The embedded engine has its own from
// the start.
func CreateDatabase(ctx context.Context, rawURL string) error {
	options, err := clientOptions(rawURL)
	if err != nil {
		return err
	}
	name := options.Auth.Database
	options.Auth.Database = "default"
	conn, err := clickhouse.Open(options)
	if err != nil {
		return fmt.Errorf("open the ClickHouse client: %w", err)
	}
	err = conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(name))
	if err := errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("create the ClickHouse database: %w", err)
	}
	return nil
}

func clientOptions(rawURL string) (*clickhouse.Options, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// url.Error repeats the URL, which may hold a password.
		return nil, fmt.Errorf("clickhouse.url is not a URL")
	}
	query := u.Query()
	switch u.Scheme {
	case "https":
		query.Set("secure", "true")
	case "clickhouses":
		u.Scheme = "clickhouse"
		query.Set("secure", "true")
	case "http", "clickhouse":
	default:
		return nil, fmt.Errorf("clickhouse.url begins with none of http://, https://, clickhouse://, clickhouses://")
	}
	u.RawQuery = query.Encode()
	options, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, fmt.Errorf("clickhouse.url: %w", err)
	}
	options.Auth.Database = first(options.Auth.Database, Database)
	if options.Compression == nil && (u.Scheme == "clickhouse" || options.TLS != nil) {
		options.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	if options.DialTimeout == 0 {
		options.DialTimeout = dialPatience
	}
	if options.ReadTimeout == 0 {
		options.ReadTimeout = replyPatience
	}
	if options.MaxOpenConns == 0 {
		options.MaxOpenConns = maxOpenConns
	}
	if options.MaxIdleConns == 0 {
		options.MaxIdleConns = maxIdleConns
	}
	options.ClientInfo.Products = append(options.ClientInfo.Products, struct{ Name, Version string }{"recapito", "1"})
	return options, nil
}
