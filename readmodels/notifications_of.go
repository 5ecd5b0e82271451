package readmodels

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// NotificationsOf returns those of a tenant's notifications that are there, by id; at
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
	rows, err := readNotifications(ctx, conn, "(tenant, notification) IN ("+strings.Join(keys, ",")+")")
	if err != nil {
		return nil, err
	}
	all := make(map[string]Notification, len(ids))
	for _, n := range rows {
		all[n.Notification] = n
	}
	return all, nil
}

// Unattempted are a person's notifications of which nothing was ever scheduled, rejected
// and suppressed ones, newest first: they have no attempt. From is included and to
// not; zero is open. At most MaxEDRLimit.
func Unattempted(ctx context.Context, conn driver.Conn, tenant, person string, from, to time.Time) ([]Notification, error) {
	w := ofPerson(tenant, person)
	w.conditions = append(w.conditions, "attempts = 0")
	if !from.IsZero() {
		w.add("requested_at >= fromUnixTimestamp64Micro({from:Int64})", "from", from.UnixMicro())
	}
	if !to.IsZero() {
		w.add("requested_at < fromUnixTimestamp64Micro({to:Int64})", "to", to.UnixMicro())
	}
	return readNotifications(ctx, conn, w.String()+fmt.Sprintf(" ORDER BY requested_at DESC, notification LIMIT %d", MaxEDRLimit), w.args...)
}

// IDsOfPerson are the notifications of a person, at most MaxPersonIDs.
func IDsOfPerson(ctx context.Context, conn driver.Conn, tenant, person string) ([]string, error) {
	w := ofPerson(tenant, person)
	rows, err := conn.Query(ctx, "SELECT DISTINCT notification FROM notification_parts WHERE "+w.String()+fmt.Sprintf(" ORDER BY notification DESC LIMIT %d", MaxPersonIDs), w.args...)
	if err != nil {
		return nil, fmt.Errorf("asking for a person's notifications: %w", err)
	}
	return scanStrings(rows)
}

// MaxPersonIDs bounds the notifications of one person that are looked at.
const MaxPersonIDs = 10_000

// ofPerson finds a person's notifications by the partial rows, which an index knows.
func ofPerson(tenant, person string) *where {
	w := &where{}
	w.add("tenant = {tenant:String}", "tenant", tenant)
	w.add("notification IN (SELECT notification FROM notification_parts WHERE tenant = {tenant:String} AND person = {person:String})", "person", person)
	return w
}

func readNotifications(ctx context.Context, conn driver.Conn, condition string, args ...any) ([]Notification, error) {
	rows, err := conn.Query(ctx, "SELECT "+notificationSelect+" FROM notifications WHERE "+condition, args...)
	if err != nil {
		return nil, fmt.Errorf("asking for notifications: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Notification
	for rows.Next() {
		var n Notification
		if err := rows.ScanStruct(&n); err != nil {
			return nil, fmt.Errorf("reading notifications: %w", err)
		}
		all = append(all, n)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading notifications: %w", err)
	}
	return all, nil
}
