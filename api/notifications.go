package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"sync"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"

	"recapito/commands/intake"
	"recapito/commands/intake/strictjson"
	"recapito/domain/event"
	"recapito/domain/notification"
)

// requestBody documents a request; the intake reads it.
type requestBody struct{ intake.Request }

// Links lead on from an answer.
type Links struct {
	Self   string `json:"self"`
	Events string `json:"events"`
	Cancel string `json:"cancel"`
}

func linksOf(id string) Links {
	self := "/v1/notifications/" + id
	return Links{Self: self, Events: self + "/events", Cancel: self + "/cancel"}
}

type acceptedBody struct {
	ID       string                 `json:"id" doc:"The notification's id: the same for the same Idempotency-Key."`
	State    notification.Lifecycle `json:"state"`
	Position event.Position         `json:"position" doc:"Read models at or past it know of this request."`
	Links    Links                  `json:"links"`
}

func acceptedAs(a intake.Accepted) acceptedBody {
	return acceptedBody{ID: a.ID, State: a.State.Lifecycle(), Position: a.Position, Links: linksOf(a.ID)}
}

type submitInput struct {
	Key string `header:"Idempotency-Key" doc:"The same key and request give the same notification; the same key with another request is refused. Stored in clear." maxLength:"128"`
}

type submitOutput struct {
	Location string `header:"Location"`
	Body     acceptedBody
}

func (s *Server) notifications() {
	tags := []string{"notifications"}
	s.allowPath(":batch", batchTimeout)
	Register(s, huma.Operation{
		OperationID: "submit", Method: http.MethodPost, Path: "/v1/notifications", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Ask for a notification", Description: "202 says that the request is durable and will be worked on.",
		Errors: []int{http.StatusConflict},
	}, &Body{Schema: reflect.TypeFor[requestBody](), Limit: MaxBodyBytes}, s.submit)
	Register(s, huma.Operation{
		OperationID: "submit-batch", Method: http.MethodPost, Path: "/v1/notifications:batch", Tags: tags,
		Summary:     "Ask for up to 1,000 notifications",
		Description: "Each item is accepted or refused by itself: the answer is 200 with a status an item, in the order sent.",
	}, &Body{Schema: reflect.TypeFor[batchRequest](), Limit: MaxBatchBodyBytes}, s.submitBatch)
	Register(s, huma.Operation{
		OperationID: "get-notification", Method: http.MethodGet, Path: "/v1/notifications/{id}", Tags: tags,
		Summary: "A notification as it is now", Errors: []int{http.StatusNotFound},
	}, nil, s.get)
	Register(s, huma.Operation{
		OperationID: "get-history", Method: http.MethodGet, Path: "/v1/notifications/{id}/events", Tags: tags,
		Summary:     "The history of a notification",
		Description: "Every event: what happened, when it occurred, when it was recorded, who did it and why. Never personal data.",
		Errors:      []int{http.StatusNotFound},
	}, nil, s.history)
	Register(s, huma.Operation{
		OperationID: "cancel", Method: http.MethodPost, Path: "/v1/notifications/{id}/cancel", Tags: tags,
		Summary: "Stop what is not sent yet", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, &Body{Schema: reflect.TypeFor[cancelRequest](), Limit: MaxBodyBytes, Optional: true}, s.cancel)
}

func (s *Server) submit(ctx context.Context, in *submitInput, data []byte) (*submitOutput, error) {
	o, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	r, err := intake.ReadRequest(o)
	if err != nil {
		return nil, err
	}
	c := CallOf(ctx)
	a, err := s.Intake.Submit(ctx, c.origin(), in.Key, r)
	if err != nil {
		if errors.Is(err, notification.ErrKeyReused) || errors.Is(err, intake.ErrErased) && in.Key != "" {
			c.Notification = notification.IDFor(c.Tenant, in.Key)
		}
		return nil, err
	}
	c.Notification, c.eventful = a.ID, a.Created
	out := acceptedAs(a)
	return &submitOutput{Location: out.Links.Self, Body: out}, nil
}

// batchRequest documents a batch.
type batchRequest struct {
	Items []batchRequestItem `json:"items" minItems:"1" maxItems:"1000"`
}

type batchRequestItem struct {
	Key     string      `json:"idempotency_key,omitempty" maxLength:"128"`
	Request requestBody `json:"request"`
}

type batchOutput struct{ Body batchBody }

type batchBody struct {
	Items []batchItem `json:"items" doc:"In the order sent."`
}

type batchItem struct {
	Status   int                    `json:"status" doc:"What the request would have been answered by itself."`
	ID       string                 `json:"id,omitempty"`
	State    notification.Lifecycle `json:"state,omitempty"`
	Position event.Position         `json:"position,omitempty"`
	Links    *Links                 `json:"links,omitempty"`
	Problem  *Problem               `json:"problem,omitempty"`
}

func (s *Server) submitBatch(ctx context.Context, _ *struct{}, data []byte) (*batchOutput, error) {
	o, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	o.Only("items")
	raw := o.List("items")
	if o.Err() == nil && (len(raw) == 0 || len(raw) > MaxBatchItems) {
		o.Report("items", strictjson.InvalidValue, fmt.Sprintf("must hold 1 to %d items", MaxBatchItems))
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	out := &batchOutput{Body: batchBody{Items: make([]batchItem, len(raw))}}
	var created atomic.Int64
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(batchWorkers, len(raw)) {
		workers.Go(func() {
			for i := range next {
				item, isNew := s.submitItem(ctx, raw[i])
				out.Body.Items[i] = item
				if isNew {
					created.Add(1)
				}
			}
		})
	}
	for i := range raw {
		next <- i
	}
	close(next)
	workers.Wait()
	CallOf(ctx).eventful = int(created.Load()) == len(raw)
	return out, nil
}

// submitItem also returns whether an event records it.
func (s *Server) submitItem(ctx context.Context, raw []byte) (item batchItem, eventful bool) {
	defer func() { // a worker has nobody above it who would turn a panic into an answer
		if v := recover(); v != nil {
			s.Log.Error("http: an item of a batch panicked", "request", CallOf(ctx).id, "panic", fmt.Sprintf("%T", v))
			item, eventful = refusedItem(NewProblem(CodeInternal, "").instance(CallOf(ctx).id)), false
		}
	}()
	o, is := strictjson.Element(raw)
	if !is {
		return refusedItem(Invalid("item", strictjson.WrongType, "must be a JSON object")), false
	}
	o.Only("idempotency_key", "request")
	key, request := o.Text("idempotency_key"), o.Embedded("request")
	if err := o.Err(); err != nil {
		return refusedItem(s.Problem(ctx, err, true)), false
	}
	r, err := intake.ReadRequest(request)
	if err != nil {
		return refusedItem(s.Problem(ctx, err, true)), false
	}
	a, err := s.Intake.Submit(ctx, CallOf(ctx).origin(), key, r)
	if err != nil {
		problem := s.Problem(ctx, err, true)
		for i := range problem.Errors {
			if problem.Errors[i].Field == headerKey {
				problem.Errors[i].Field = "idempotency_key"
			}
		}
		return refusedItem(problem), false
	}
	as := acceptedAs(a)
	return batchItem{Status: http.StatusAccepted, ID: as.ID, State: as.State, Position: as.Position, Links: &as.Links}, a.Created
}

func refusedItem(p *Problem) batchItem { return batchItem{Status: p.Status, Problem: p} }

// uuids is the form of a notification's id. Another text names none.
var uuids = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ValidID reports whether a text has the form of a notification's id.
func ValidID(id string) bool { return uuids.MatchString(id) }

// named notes the id of the notification that a call is about.
func named(ctx context.Context, id string) (*Call, error) {
	if !ValidID(id) {
		return nil, notification.ErrAbsent
	}
	c := CallOf(ctx)
	c.Notification = id
	return c, nil
}

type idInput struct {
	ID string `path:"id" doc:"The notification's id."`
}

type getOutput struct{ Body NotificationBody }

func (s *Server) get(ctx context.Context, in *idInput, _ []byte) (*getOutput, error) {
	c, err := named(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	l, err := s.Notifications.Get(ctx, c.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	codes := map[int]string{}
	if anyUndelivered(l.State) { // the folded state does not keep why; the events do
		entries, err := s.Notifications.History(ctx, c.Tenant, in.ID, 0, 0)
		if err != nil {
			return nil, err
		}
		codes = FailureCodes(entries, l.Revision)
	}
	return &getOutput{Body: NotificationOf(in.ID, l, codes)}, nil
}

// cancelRequest documents the body of a cancel.
type cancelRequest struct {
	Reason string `json:"reason,omitempty" doc:"Stored in clear: no address, no phone number." maxLength:"256"`
}

type cancelOutput struct{ Body cancelBody }

type cancelBody struct {
	ID       string                 `json:"id"`
	State    notification.Lifecycle `json:"state"`
	Final    bool                   `json:"final"`
	Position event.Position         `json:"position"`
	Sent     []sentAttempt          `json:"sent" doc:"The attempts that were, or may have been, sent before."`
	Links    Links                  `json:"links"`
}

type sentAttempt struct {
	Number  int                 `json:"number"`
	Channel string              `json:"channel"`
	Route   string              `json:"route"`
	Status  notification.Status `json:"status"`
}

func (s *Server) cancel(ctx context.Context, in *idInput, data []byte) (*cancelOutput, error) {
	reason, err := cancelReason(data)
	if err != nil {
		return nil, err
	}
	c, err := named(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	done, err := s.Notifications.Cancel(ctx, c.origin(), in.ID, reason)
	if err != nil {
		return nil, err
	}
	c.eventful = done.Now
	out := cancelBody{
		ID: in.ID, State: done.State.Lifecycle(), Final: done.State.Final(), Position: done.Position,
		Sent: []sentAttempt{}, Links: linksOf(in.ID),
	}
	for _, number := range done.Sent {
		if a, ok := done.State.Attempt(number); ok {
			out.Sent = append(out.Sent, sentAttempt{number, a.Channel, a.Route, a.Status})
		}
	}
	return &cancelOutput{Body: out}, nil
}

func cancelReason(data []byte) (string, error) {
	if len(data) == 0 {
		return "", nil
	}
	o, err := strictjson.Parse(data)
	if err != nil {
		return "", err
	}
	o.Only("reason")
	reason := o.Text("reason")
	for _, p := range intake.CheckNote("reason", reason, MaxReasonLength) {
		o.Report(p.Field, p.Code, p.Message)
	}
	return reason, o.Err()
}
