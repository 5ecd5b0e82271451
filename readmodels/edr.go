package readmodels

import (
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// EDR is one attempt, as the view edr shows it.
type EDR struct {
	Tenant       string    `ch:"tenant" json:"tenant"`
	Day          time.Time `ch:"day" json:"-"`
	DayText      string    `ch:"-" json:"day"` // yyyy-mm-dd, UTC
	Notification string    `ch:"notification" json:"notification"`
	Attempt      uint16    `ch:"attempt" json:"attempt"`
	Step         uint16    `ch:"step" json:"step"`
	Target       uint16    `ch:"target" json:"target"`
	Kind         string    `ch:"kind" json:"kind"`                 // first, retry, resend
	Follows      uint16    `ch:"follows" json:"follows,omitempty"` // the attempt it follows
	Dimensions
	Person    string `ch:"person" json:"person"`
	Units     uint16 `ch:"units" json:"units"`
	Status    string `ch:"status" json:"status"`
	Code      string `ch:"code" json:"code,omitempty"`
	ErrorText string `ch:"error_text" json:"error_text,omitempty"` // what the code means
	Times
	QueueMs    *int64 `ch:"queue_ms" json:"queue_ms,omitempty"`       // due → dispatched
	SubmitMs   *int64 `ch:"submit_ms" json:"submit_ms,omitempty"`     // dispatched → sent
	DeliveryMs *int64 `ch:"delivery_ms" json:"delivery_ms,omitempty"` // sent → delivered, by the provider's clock
	// Billable: the provider took it, and it is no test. Prices are nil while it is not
	// priced.
	Billable      bool    `ch:"billable" json:"billable"`
	PriceAmount   *string `ch:"price_amount" json:"price_amount,omitempty"`
	PriceCurrency string  `ch:"price_currency" json:"price_currency,omitempty"`
	CostAmount    *string `ch:"cost_amount" json:"cost_amount,omitempty"`
	CostCurrency  string  `ch:"cost_currency" json:"cost_currency,omitempty"`
	Tariff        string  `ch:"tariff" json:"tariff,omitempty"`
	Changed       uint64  `ch:"changed" json:"changed"` // the change position: rows restated later have a higher one
}

var edrColumns = `tenant, day, notification, attempt, step, target, kind, follows, ` + edrDimensions.list() + `, person, units, status, code, error_text,
	requested_at, scheduled_at, due_at, dispatched_at, unknown_at, sent_at, undelivered_at, delivered_at,
	read_at, withdrawn_at, given_up_at, queue_ms, submit_ms, delivery_ms,
	billable, toString(price_amount) AS price_amount, price_currency, toString(cost_amount) AS cost_amount, cost_currency, tariff, changed`

const (
	day      = 24 * time.Hour
	dayStyle = time.DateOnly
)

// The days that ClickHouse's type Date can hold.
var (
	firstDay = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2149, 6, 6, 0, 0, 0, 0, time.UTC)
)

func scanEDRs(rows driver.Rows) ([]EDR, error) {
	var all []EDR
	err := visitEDRs(rows, func(r EDR) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// visitEDRs hands over each row as it comes, and closes rows.
func visitEDRs(rows driver.Rows, visit func(EDR) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r EDR
		if err := rows.ScanStruct(&r); err != nil {
			return fmt.Errorf("reading the EDR: %w", err)
		}
		r.Day = r.Day.UTC()
		r.DayText = r.Day.Format(dayStyle)
		if err := visit(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the EDR: %w", err)
	}
	return nil
}
