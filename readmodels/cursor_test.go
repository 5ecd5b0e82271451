package readmodels

import (
	"errors"
	"testing"
	"time"
)

// FuzzCursor: whatever comes from outside is a cursor of this query or ErrBadCursor.
func FuzzCursor(f *testing.F) {
	q := EDRQuery{Tenant: "t1", EDRFilter: EDRFilter{Is: map[string]string{"channel": "sms"}}}
	last := EDR{Day: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Notification: "n1", Attempt: 3}
	good := q.next(last)
	f.Add(good)
	f.Add("")
	f.Add("e30")
	f.Add(EDRQuery{Tenant: "t2", EDRFilter: EDRFilter{Is: map[string]string{"channel": "sms"}}}.next(last))
	f.Fuzz(func(t *testing.T, cursor string) {
		q := q
		q.Cursor = cursor
		c, err := q.cursor()
		switch {
		case err != nil && !errors.Is(err, ErrBadCursor):
			t.Errorf("%v, want ErrBadCursor", err)
		case cursor == good && (err != nil || c.notification != "n1" || c.attempt != 3 || !c.day.Equal(last.Day)):
			t.Errorf("our own cursor came back as %+v, %v", c, err)
		case err == nil && c != nil && c.notification == "":
			t.Error("a cursor without a place")
		}
	})
}
