package readmodels

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// NotificationsOf answers those of a tenant's notifications that are there, by id; at
// most MaxEDRLimit may be asked for at once.
func NotificationsOf(ctx context.Context, conn driver.Conn, tenant string, ids []string) (map[string]Notification, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > MaxEDRLimit {
		return nil, fmt.Errorf("%w: more than %d notifications at once", ErrBadQuery, MaxEDRLimit)
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = "(" + literal(tenant) + "," + literal(id) + ")"
	}
	rows, err := conn.Query(ctx, "SELECT "+NotificationColumns+" FROM notifications WHERE (tenant, notification) IN ("+strings.Join(keys, ",")+")")
	if err != nil {
		return nil, fmt.Errorf("asking for notifications: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := make(map[string]Notification, len(ids))
	for rows.Next() {
		var n Notification
		if err := rows.ScanStruct(&n); err != nil {
			return nil, fmt.Errorf("reading notifications: %w", err)
		}
		all[n.Notification] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading notifications: %w", err)
	}
	return all, nil
}
