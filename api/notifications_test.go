package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"recapito/domain/notification"
)

func TestSubmitAnswersWhereTheNotificationIs(t *testing.T) {
	w := newWorld(t)
	a := w.call(http.MethodPost, "/v1/notifications", appointment, header("Idempotency-Key", "order-1"))
	var first accepted
	a.into(t, &first)
	self := "/v1/notifications/" + first.ID
	if a.status != http.StatusAccepted || a.header.Get("Location") != self || first.State != "requested" || first.Position == 0 {
		t.Errorf("status %d, Location %q: %s", a.status, a.header.Get("Location"), a.body)
	}
	if diff := cmp.Diff(map[string]string{"self": self, "events": self + "/events", "cancel": self + "/cancel"}, first.Links); diff != "" {
		t.Error(diff)
	}
	again := w.submitted(strings.ReplaceAll(appointment, `,"fields"`, ` , "fields"`), header("Idempotency-Key", "order-1"))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same request again: %s", diff)
	}
	if other := w.submitted(appointment); other.ID == first.ID {
		t.Error("without a key the same request is another notification")
	}
}

func TestSameKeyAtOnceWithOtherBodiesIsOneNotification(t *testing.T) {
	w := newWorld(t)
	const callers, rounds = 6, 8
	for round := range rounds {
		for _, same := range []bool{false, true} {
			answers := make([]answer, callers)
			begin := make(chan struct{})
			var all sync.WaitGroup
			for i := range callers {
				body := appointment
				if !same {
					body = strings.Replace(body, "234567", fmt.Sprintf("%06d", 400000+round*100+i), 1)
				}
				all.Go(func() {
					<-begin
					answers[i] = w.call(http.MethodPost, "/v1/notifications", body, header("Idempotency-Key", fmt.Sprintf("race-%v-%d", same, round)))
				})
			}
			close(begin)
			all.Wait()
			ids, refused := map[string]bool{}, 0
			for _, a := range answers {
				switch a.status {
				case http.StatusAccepted:
					var out accepted
					a.into(t, &out)
					ids[out.ID] = true
				default:
					refused++
					if p := a.problem(t); p.Code != "idempotency_key_reused" {
						t.Errorf("refused with %s", p.Code)
					}
				}
			}
			want := callers - 1
			if same {
				want = 0
			}
			if len(ids) != 1 || refused != want {
				t.Errorf("same bodies %v: %d notifications, %d refused, want 1 and %d", same, len(ids), refused, want)
			}
		}
	}
}

func TestBatchAnswersEachItem(t *testing.T) {
	w := newWorld(t)
	body := `{"items":[
		{"idempotency_key":"b-1","request":` + appointment + `},
		{"idempotency_key":"b-1","request":` + strings.Replace(appointment, "Monday", "Tuesday", 1) + `},
		{"request":{"scenario":"payment","to":{"sms":["12"]}}},
		{"idempotency_key":"+393331234567","request":` + appointment + `},
		{"idempotency_key":"b-2"},
		7,
		{"request":` + appointment + `,"priority":"high"},
		{"request":` + appointment + `}
	]}`
	a := w.call(http.MethodPost, "/v1/notifications:batch", body)
	var out struct {
		Items []struct {
			Status  int
			ID      string
			Links   map[string]string
			Problem *struct {
				Code   string
				Errors []struct{ Field, Code string }
			}
		}
	}
	a.into(t, &out)
	if a.status != http.StatusOK || len(out.Items) != 8 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	var got []string
	for _, i := range out.Items {
		line := fmt.Sprint(i.Status)
		if i.Problem != nil {
			line += " " + i.Problem.Code
			for _, f := range i.Problem.Errors {
				line += " " + f.Field + ":" + f.Code
			}
		} else if i.ID == "" || i.Links["self"] != "/v1/notifications/"+i.ID {
			t.Errorf("an accepted item without id or links: %+v", i)
		}
		got = append(got, line)
	}
	// Items run side by side: either of the first two may be the one that is accepted.
	if got[0] != "202" {
		got[0], got[1] = got[1], got[0]
	}
	want := []string{
		"202", "409 idempotency_key_reused",
		"422 invalid fields.notice:missing_field to.sms[0]:invalid_address",
		"422 invalid idempotency_key:personal_data",
		"422 invalid request:missing_field",
		"422 invalid item:wrong_type",
		"422 invalid priority:unknown_member",
		"202",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	repeated := w.call(http.MethodPost, "/v1/notifications:batch", body)
	repeated.into(t, &out)
	if out.Items[0].Status != http.StatusAccepted && out.Items[1].Status != http.StatusAccepted {
		t.Error("a repeated batch must be accepted again under its keys")
	}
}

func TestBatchOfAThousand(t *testing.T) {
	w := newWorld(t)
	item := `{"request":` + appointment + `}`
	body := `{"items":[` + strings.Repeat(item+",", 999) + item + `]}`
	a := w.call(http.MethodPost, "/v1/notifications:batch", body)
	if got := strings.Count(a.body, `"status":202`); a.status != http.StatusOK || got != 1000 {
		t.Errorf("status %d, %d accepted", a.status, got)
	}
	if p := w.call(http.MethodPost, "/v1/notifications:batch", strings.Replace(body, item, item+","+item, 1)).problem(t); !cmp.Equal(placesOf(p), []string{"items invalid_value"}) {
		t.Errorf("1,001 items: %v", placesOf(p))
	}
	if p := w.call(http.MethodPost, "/v1/notifications:batch", `{"items":[]}`).problem(t); !cmp.Equal(placesOf(p), []string{"items invalid_value"}) {
		t.Errorf("no items: %v", placesOf(p))
	}
}

type shown struct {
	ID, State string
	Final     bool
	Fields    []string
	To        map[string]int
	Attempts  []struct {
		Number                         int
		Channel, Route, Status         string
		Country, Code                  string
		Units                          int
		DispatchedAt, SentAt, StatusAt *time.Time
		ScheduledAt                    *time.Time `json:"scheduled_at"`
	}
	Engagement struct{ Replies int }
	Payment    struct{ Paid bool }
	Revision   uint64
	Links      map[string]string
}

func (w *world) shown(id string) shown {
	w.t.Helper()
	a := w.call(http.MethodGet, "/v1/notifications/"+id, "")
	if a.status != http.StatusOK {
		w.t.Fatalf("status %d: %s", a.status, a.body)
	}
	w.showsNothingPersonal(a)
	var s shown
	a.into(w.t, &s)
	return s
}

func (w *world) showsNothingPersonal(a answer) {
	w.t.Helper()
	for _, personal := range []string{"3331234567", "Monday", secretText, "ciphertext", "commitment"} {
		if strings.Contains(a.body, personal) {
			w.t.Errorf("the answer holds what is personal: %s", a.body)
		}
	}
}

func TestGetFollowsTheNotification(t *testing.T) {
	w := newWorld(t)
	id := w.submitted(appointment).ID
	s := w.shown(id)
	if s.State != "requested" || s.Final || len(s.Attempts) != 0 || !cmp.Equal(s.Fields, []string{"day"}) || s.To["sms"] != 1 {
		t.Errorf("requested: %+v", s)
	}
	w.dispatched(id)
	if s = w.shown(id); s.State != "dispatched" || s.Attempts[0].Status != "dispatched" || s.Attempts[0].Country != "IT" || s.Attempts[0].Units != 1 {
		t.Errorf("dispatched: %+v", s)
	}
	w.refused(id, "0x0b")
	s = w.shown(id)
	if s.State != "exhausted" || !s.Final || s.Attempts[0].Status != "undelivered" || s.Attempts[0].Code != "0x0b" {
		t.Errorf("refused: %+v", s)
	}
	w.on(id, notification.RecordReply{Channel: "sms", ReplyID: "r1", At: w.ledger.Now()})
	w.on(id, notification.RecordPayment{PaymentID: "p1", At: w.ledger.Now()})
	if s = w.shown(id); s.Engagement.Replies != 1 || !s.Payment.Paid {
		t.Errorf("engagement and payment: %+v", s)
	}
}

func TestHistoryTellsWhatWhenWhoAndWhy(t *testing.T) {
	w := newWorld(t)
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	id := w.submitted(appointment, header("Idempotency-Key", "h-1"), header("Traceparent", trace)).ID
	w.dispatched(id)
	w.taken(id)
	a := w.call(http.MethodGet, "/v1/notifications/"+id+"/events", "")
	w.showsNothingPersonal(a)
	type entry struct {
		Revision, Position uint64
		Type, What, Who    string
		OccurredAt         time.Time `json:"occurred_at"`
		RecordedAt         time.Time `json:"recorded_at"`
		Why                struct{ Considerations []any }
		Details            map[string]any
	}
	var page struct {
		Events []entry
		Next   *uint64
	}
	a.into(t, &page)
	var types []string
	for i, e := range page.Events {
		types = append(types, e.Type)
		if e.Revision != uint64(i) || e.Position == 0 || e.What == "" || e.OccurredAt.IsZero() || e.RecordedAt.IsZero() {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if diff := cmp.Diff([]string{"NotificationRequested", "NotificationEnriched", "NotificationScheduled", "NotificationDispatched", "NotificationSent"}, types); diff != "" {
		t.Fatal(diff)
	}
	if !strings.HasPrefix(page.Events[0].Who, "key:") || page.Events[3].Who != "system:test" || len(page.Events[1].Why.Considerations) != 1 {
		t.Errorf("who and why: %+v", page.Events)
	}
	if page.Events[0].Details["idempotency_key"] != "h-1" || page.Events[4].Details["attempt"] != 1.0 {
		t.Errorf("details: %v, %v", page.Events[0].Details, page.Events[4].Details)
	}

	var seen []string
	path := "/v1/notifications/" + id + "/events?limit=2"
	for next := path; next != ""; {
		page.Events, page.Next = nil, nil
		w.call(http.MethodGet, next, "").into(t, &page)
		for _, e := range page.Events {
			seen = append(seen, e.Type)
		}
		next = ""
		if page.Next != nil {
			next = fmt.Sprintf("%s&after=%d", path, *page.Next)
		}
	}
	if diff := cmp.Diff(types, seen); diff != "" {
		t.Errorf("by pages of two: %s", diff)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	fresh := w.submitted(appointment).ID
	a := w.call(http.MethodPost, "/v1/notifications/"+fresh+"/cancel", `{"reason":"the visit was moved"}`)
	if a.status != http.StatusOK || !strings.Contains(a.body, `"cancelled"`) || !strings.Contains(a.body, `"sent":[]`) {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	if again := w.call(http.MethodPost, "/v1/notifications/"+fresh+"/cancel", ""); again.status != http.StatusOK {
		t.Errorf("a repeated cancel: status %d", again.status)
	}

	onTheWay := w.submitted(appointment).ID
	w.dispatched(onTheWay)
	if a = w.call(http.MethodPost, "/v1/notifications/"+onTheWay+"/cancel", ""); a.status != http.StatusConflict || a.problem(t).Code != "in_flight" {
		t.Errorf("on the wire: %d %s", a.status, a.body)
	}
	w.taken(onTheWay)
	a = w.call(http.MethodPost, "/v1/notifications/"+onTheWay+"/cancel", "{}")
	if a.status != http.StatusOK || !strings.Contains(a.body, `"sent":[{"number":1,"channel":"sms","route":"sim","status":"sent"}]`) {
		t.Errorf("sent before: %d %s", a.status, a.body)
	}

	failed := w.submitted(appointment).ID
	w.dispatched(failed)
	w.refused(failed, "1")
	if a = w.call(http.MethodPost, "/v1/notifications/"+failed+"/cancel", ""); a.status != http.StatusConflict || a.problem(t).Code != "final" {
		t.Errorf("final: %d %s", a.status, a.body)
	}
	for body, want := range map[string]string{
		`{"reason":"call +39 333 123.45.67"}`:           "reason personal_data",
		`{"reason":"mail mario@example.com"}`:           "reason personal_data",
		`{"reason":"` + strings.Repeat("x", 257) + `"}`: "reason too_long",
		`{"reason":7}`: "reason wrong_type",
		`{"why":"x"}`:  "why unknown_member",
	} {
		a = w.call(http.MethodPost, "/v1/notifications/"+fresh+"/cancel", body)
		if got := placesOf(a.problem(t)); a.status != http.StatusUnprocessableEntity || !cmp.Equal(got, []string{want}) {
			t.Errorf("%s: status %d, %v", want, a.status, got)
		}
	}
}
