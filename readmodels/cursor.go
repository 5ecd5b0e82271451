package readmodels

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"
)

// maxCursor bounds a cursor's length in characters: it comes from outside.
const maxCursor = 512

// edrCursor is the last row of a page.
type edrCursor struct {
	day          time.Time
	notification string
	attempt      uint16
}

// cursorForm is a cursor's content: opaque to callers, so it may change.
type cursorForm struct {
	Query        []byte `json:"q"` // names the query it belongs to
	Day          uint16 `json:"d"` // days since 1970-01-01
	Notification string `json:"n"`
	Attempt      uint16 `json:"a"`
}

// name is a hash of what a cursor must be used with again; the limit may change.
func (q EDRQuery) name() []byte {
	h := sha256.New()
	for _, s := range []string{q.Tenant, string(q.canonical())} {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	for _, t := range []time.Time{q.From, q.To} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(t.UnixMicro())))
	}
	if q.AsOf != nil {
		h.Write(binary.BigEndian.AppendUint64(nil, *q.AsOf))
	}
	return h.Sum(nil)[:12]
}

func (q EDRQuery) next(last EDR) string {
	form, err := json.Marshal(cursorForm{
		Query: q.name(), Day: uint16(last.Day.Sub(firstDay) / day), Notification: last.Notification, Attempt: last.Attempt,
	})
	if err != nil {
		panic("readmodels: a cursor does not marshal: " + err.Error()) // plain types only
	}
	return base64.RawURLEncoding.EncodeToString(form)
}

// cursor reads q's cursor; nil if it has none.
func (q EDRQuery) cursor() (*edrCursor, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	if len(q.Cursor) > maxCursor {
		return nil, ErrBadCursor
	}
	data, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err != nil {
		return nil, ErrBadCursor
	}
	var form cursorForm
	if json.Unmarshal(data, &form) != nil || form.Notification == "" || string(form.Query) != string(q.name()) {
		return nil, ErrBadCursor
	}
	return &edrCursor{
		day: firstDay.AddDate(0, 0, int(form.Day)), notification: form.Notification, attempt: form.Attempt,
	}, nil
}
