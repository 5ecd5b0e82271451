package rest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"encoding/pem"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"recapito/adapters/rest"
	"recapito/commands/channel"
	"recapito/commands/channel/netguard"
	"recapito/domain/notification"
	"recapito/domain/receipt"
)

// far starts a service with one handler.
func far(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func send(t *testing.T, r *rest.Route, m channel.Message) notification.UnitOutcome {
	t.Helper()
	out := r.Send(within(t, patience), m, always, nil)
	if len(out.Units) != 1 {
		t.Fatalf("outcome %+v", out)
	}
	return out.Units[0]
}

// TestAConnectionLost: what was not written is not sent; what may have been is lost, and
// nothing arrives twice. GET and Idempotency-Key are what net/http would send again.
func TestAConnectionLost(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		for _, c := range []struct {
			name string
			drop func(net.Conn)
			want notification.Fate
		}{
			{"before the request was read", func(net.Conn) {}, notification.UnitLost},
			{"after the request was read", func(c net.Conn) {
				_, _ = http.ReadRequest(newReader(c))
			}, notification.UnitLost},
			{"within the response's head", func(c net.Conn) {
				_, _ = http.ReadRequest(newReader(c))
				_, _ = c.Write([]byte("HTTP/1.1 20"))
			}, notification.UnitLost},
			{"within an accepting response's body", func(c net.Conn) {
				_, _ = http.ReadRequest(newReader(c))
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"))
			}, notification.UnitAccepted},
		} {
			t.Run(method+" "+c.name, func(t *testing.T) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				var connections atomic.Int32
				var done sync.WaitGroup
				done.Go(func() {
					for {
						conn, err := l.Accept()
						if err != nil {
							return
						}
						done.Go(func() {
							defer conn.Close()
							first := make([]byte, 1)
							if n, _ := conn.Read(first); n == 0 {
								return // the route only tried whether it can connect
							}
							connections.Add(1)
							c.drop(&unread{conn, first})
						})
					}
				})
				t.Cleanup(func() { l.Close(); done.Wait() })
				s := settings("http://" + l.Addr().String() + "/m")
				s.Method = method
				s.Headers["Idempotency-Key"] = "{{ reference }}"
				r := run(t, open(t, s, channel.Options{}))
				if got := send(t, r, message(1, "{}")); got.Fate != c.want {
					t.Errorf("outcome %+v", got)
				}
				if n := connections.Load(); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		}
	}
}

// TestAnIdleConnectionLost: the service closes the connection that the next message would
// use. Nothing is sent twice, whatever the moment.
func TestAnIdleConnectionLost(t *testing.T) {
	var mu sync.Mutex
	arrived := map[string]int{}
	s := far(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		arrived[req.Header.Get("X-Reference")]++
		n := len(arrived)
		mu.Unlock()
		if n%2 == 0 { // close without a word, after the response
			conn, buffer, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = buffer.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"id\":\"a1\"}")
			buffer.Flush()
			conn.Close()
			return
		}
		fmt.Fprint(w, `{"id":"a2"}`)
	})
	set := settings(s.URL)
	set.Method = http.MethodGet
	r := run(t, open(t, set, channel.Options{}))
	for n := range 200 {
		got := send(t, r, message(n, "{}"))
		mu.Lock()
		times := arrived[message(n, "").Reference]
		mu.Unlock()
		if times > 1 || (got.Fate == notification.UnitAccepted) != (times == 1) && got.Fate != notification.UnitLost {
			t.Errorf("message %d: %d arrivals, %+v", n, times, got)
		}
	}
}

// TestTheFenceIsAskedLast: it shuts while the connection is made, so nothing is written.
func TestTheFenceIsAskedLast(t *testing.T) {
	var arrived atomic.Int32
	s := far(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	r := run(t, open(t, settings(s.URL), channel.Options{}))
	var asked atomic.Int32
	out := r.Send(within(t, patience), message(1, "{}"), func() bool { return asked.Add(1) == 1 }, nil)
	if out.Units[0].Fate != notification.UnitNotSent || arrived.Load() != 0 || asked.Load() != 2 {
		t.Errorf("outcome %+v, %d arrived, asked %d times", out.Units[0], arrived.Load(), asked.Load())
	}
}

func TestResponses(t *testing.T) {
	type response struct {
		status int
		header map[string]string
		body   string
	}
	accepted := func(id string) notification.UnitOutcome {
		return notification.UnitOutcome{Fate: notification.UnitAccepted, ProviderID: id}
	}
	refused := func(code string, transient, busy bool) notification.UnitOutcome {
		return notification.UnitOutcome{Fate: notification.UnitRefused, Code: code, Transient: transient, Busy: busy}
	}
	lost := notification.UnitOutcome{Fate: notification.UnitLost}
	reference := message(1, "").Reference
	for _, c := range []struct {
		name     string
		response response
		set      func(*rest.Settings)
		want     notification.UnitOutcome
	}{
		{"id", response{200, nil, `{"id":"a1"}`}, nil, accepted("a1")},
		{"a number as id", response{201, nil, `{"id":12345678901234567890}`}, nil, accepted("12345678901234567890")},
		{"no id", response{204, nil, ``}, nil, accepted(reference)},
		{"id in a header", response{202, map[string]string{"X-Id": "h1"}, ``}, func(s *rest.Settings) { s.Response.ProviderID = rest.Place{Header: "X-Id"} }, accepted("h1")},
		{"a deep id", response{200, nil, `{"a/b":[{"~x":"d1"}]}`}, func(s *rest.Settings) { s.Response.ProviderID.Pointer = "/a~1b/0/~0x" }, accepted("d1")},
		{"an id of two lines", response{200, nil, `{"id":"a\nb"}`}, nil, accepted(reference)},
		{"a body over the limit", response{200, nil, `{"id":"` + strings.Repeat("x", 100) + `"}`}, func(s *rest.Settings) { s.MaxResponseBytes = 50 }, accepted(reference)},
		{"redirect", response{302, map[string]string{"Location": "http://127.0.0.1:1/"}, ``}, nil, refused("http_302", false, false)},
		{"client's fault", response{404, nil, ``}, nil, refused("http_404", false, false)},
		{"request timeout", response{408, nil, ``}, nil, refused("http_408", true, false)},
		{"too many", response{429, nil, ``}, nil, refused("http_429", true, true)},
		{"service's fault", response{500, nil, ``}, nil, refused("http_500", true, false)},
		{"not implemented", response{501, nil, ``}, nil, refused("http_501", false, false)},
		{"gateway", response{502, nil, ``}, nil, lost},
		{"gateway's timeout", response{504, nil, ``}, nil, lost},
		{"another class", response{409, nil, `{"id":"same"}`}, func(s *rest.Settings) { s.Response.Statuses = map[string]string{"409": "accepted"} }, accepted("same")},
		{"another class of a hundred", response{500, nil, ``}, func(s *rest.Settings) { s.Response.Statuses = map[string]string{"5xx": "permanent"} }, refused("http_500", false, false)},
		{"the service's code", response{400, nil, `{"error":{"code":"E17"}}`}, func(s *rest.Settings) { s.Response.Code.Pointer = "/error/code" }, refused("E17", false, false)},
		{"a class by the service's code", response{400, nil, `{"error":{"code":"E17"}}`}, func(s *rest.Settings) {
			s.Response.Code.Pointer = "/error/code"
			s.Response.Codes = map[string]string{"E17": "busy"}
		}, refused("E17", true, true)},
		{"accepted when", response{200, nil, `{"id":"a1","status":"queued"}`}, acceptedWhen, accepted("a1")},
		{"not accepted", response{200, nil, `{"id":"a1","status":"no"}`}, acceptedWhen, refused("not_accepted", false, false)},
		{"not accepted with a code", response{200, nil, `{"status":"no","code":"E1"}`}, func(s *rest.Settings) {
			acceptedWhen(s)
			s.Response.Code.Pointer = "/code"
		}, refused("E1", false, false)},
		{"no way to know whether accepted", response{200, nil, `{"status":"queued","x":"` + strings.Repeat("x", 100) + `"}`}, func(s *rest.Settings) {
			acceptedWhen(s)
			s.MaxResponseBytes = 50
		}, lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := far(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.response.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(c.response.status)
				_, _ = io.WriteString(w, c.response.body)
			})
			set := settings(s.URL)
			if c.set != nil {
				c.set(set)
			}
			got := send(t, run(t, open(t, set, channel.Options{})), message(1, "{}"))
			got.At = time.Time{}
			if got != c.want {
				t.Errorf("outcome %+v, want %+v", got, c.want)
			}
		})
	}
}

func acceptedWhen(s *rest.Settings) {
	s.Response.AcceptedWhen = rest.Condition{Pointer: "/status", Is: []string{"ok", "queued"}}
}

func TestRetryAfterPausesTheRoute(t *testing.T) {
	s := far(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	r := run(t, open(t, settings(s.URL), channel.Options{}))
	begun := time.Now()
	if got := send(t, r, message(1, "{}")); !got.Transient || got.Busy {
		t.Errorf("outcome %+v", got)
	}
	if _, err := r.Acquire(within(t, 50*time.Millisecond), 1); !errors.Is(err, channel.ErrRouteFull) {
		t.Errorf("within the pause: %v", err)
	}
	release, err := r.Acquire(within(t, patience), 1)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if d := time.Since(begun); d < 900*time.Millisecond {
		t.Errorf("it waited %v of the second", d)
	}
}

func TestRateIsKept(t *testing.T) {
	s := far(t, func(http.ResponseWriter, *http.Request) {})
	set := settings(s.URL)
	set.Rate = 10
	r := run(t, open(t, set, channel.Options{}))
	begun := time.Now()
	for range 15 {
		release, err := r.Acquire(within(t, patience), 1)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if d := time.Since(begun); d < 400*time.Millisecond {
		t.Errorf("15 messages at 10 a second took %v", d)
	}
}

// TestPrivateNetworks: a message to a private network is refused for good with a code of
// ours; the route says why, and takes messages all the same.
func TestPrivateNetworks(t *testing.T) {
	s := far(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "169.254.169.254", "[::1]", "0.0.0.0"} {
		t.Run(host, func(t *testing.T) {
			set := settings("http://" + host + ":" + port + "/")
			set.AllowNetworks = nil
			r := open(t, set, channel.Options{})
			runUntilEnd(t, r)
			eventually(t, "the state says why", func() bool { return errors.Is(r.State(), netguard.ErrPrivate) })
			if !errors.Is(r.State(), channel.ErrRouteDown) {
				t.Errorf("state %v", r.State())
			}
			release, err := r.Acquire(within(t, patience), 1)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if got := send(t, r, message(1, "{}")); got.Fate != notification.UnitRefused || got.Code != rest.CodePrivateAddress || got.Transient {
				t.Errorf("outcome %+v", got)
			}
		})
	}
}

// TestValuesStayInTheirPlace: what the service reads out of URL, headers and body is the
// value, whatever it holds.
func TestValuesStayInTheirPlace(t *testing.T) {
	var got *http.Request
	var body []byte
	s := far(t, func(_ http.ResponseWriter, req *http.Request) {
		got = req
		body, _ = io.ReadAll(req.Body)
	})
	set := settings(s.URL + "/u/{{ address }}/messages?ref={{ reference }}&n={{ attempt }}")
	set.Headers = map[string]string{"X-Sender": "from {{ sender }}"}
	set.Body = `{"to":"{{ address }}","text":"{{ content.body }}","back":"{{ callback_url }}"}`
	withCallbacks(set)
	r := run(t, open(t, set, channel.Options{}))
	const nasty = `a/b?c#d&e=f "g" \ %2e è` + "\t"
	m := message(1, nasty)
	m.Destination = strings.TrimSpace(nasty)
	if u := send(t, r, m); u.Fate != notification.UnitAccepted {
		t.Fatalf("outcome %+v", u)
	}
	segments := strings.Split(got.URL.EscapedPath(), "/")
	if len(segments) != 4 || got.URL.Path != "/u/"+m.Destination+"/messages" {
		t.Errorf("path %q", got.URL.EscapedPath())
	}
	if q := got.URL.Query(); len(q) != 2 || q.Get("ref") != m.Reference || q.Get("n") != "1" {
		t.Errorf("query %q", got.URL.RawQuery)
	}
	want := `{"to":"a/b?c#d\u0026e=f \"g\" \\ %2e è","text":"a/b?c#d\u0026e=f \"g\" \\ %2e è\t","back":"https://recapito.example/v1/callbacks/r"}`
	if string(body) != want || got.Header.Get("X-Sender") != "from Recapito" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("body %s, sender %q", body, got.Header.Get("X-Sender"))
	}
}

// TestWhatCannotBeSent: a value that would leave its place is refused for good, with the
// rule and without the value, and nothing arrives.
func TestWhatCannotBeSent(t *testing.T) {
	s := far(t, func(http.ResponseWriter, *http.Request) { t.Error("it was called") })
	for _, c := range []struct {
		name, code string
		set        func(*rest.Settings, *channel.Message)
	}{
		{"a header of two lines", rest.CodeHeader, func(s *rest.Settings, m *channel.Message) { m.Destination = personal + "\r\nX-Admin: 1" }},
		{"a step up", rest.CodeURL, func(s *rest.Settings, m *channel.Message) { s.URL += "/u/{{ address }}/x"; m.Destination = ".." }},
		{"a body that is no JSON", rest.CodeBody, func(s *rest.Settings, m *channel.Message) {
			s.Body = "{{ address }}"
			m.Destination = personal
		}},
		{"a URL too long", rest.CodeURL, func(s *rest.Settings, m *channel.Message) {
			s.URL += "/{{ content.body }}"
			m.Content.Members["body"] = personal + strings.Repeat("é", 3000)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, m := settings(s.URL), message(1, "{}")
			c.set(set, &m)
			var log bytes.Buffer
			r := run(t, open(t, set, channel.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}))
			if got := send(t, r, m); got.Fate != notification.UnitRefused || got.Code != c.code || got.Transient {
				t.Errorf("outcome %+v", got)
			}
			if strings.Contains(log.String(), personal) || !strings.Contains(log.String(), c.code) {
				t.Errorf("log %s", log.String())
			}
		})
	}
}

func TestSignatures(t *testing.T) {
	var got http.Header
	var body []byte
	s := far(t, func(_ http.ResponseWriter, req *http.Request) {
		got = req.Header
		body, _ = io.ReadAll(req.Body)
	})
	const key = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	const key2 = "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
	set := settings(s.URL)
	set.Signature = rest.Signature{Scheme: "standard-webhooks", Secrets: []channel.Secret{{Value: key}, {Value: key2}}, Tolerance: time.Minute}
	set.Auth = rest.Auth{Type: "basic", Username: "us", Secret: channel.Secret{Value: secret}}
	m := message(1, `{"day":1}`)
	send(t, run(t, open(t, set, channel.Options{})), m)
	for _, k := range []string{key, key2} {
		wh, err := standardwebhooks.NewWebhook(k)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(body, got); err != nil {
			t.Error(err)
		}
	}
	if got.Get("webhook-id") != m.Reference || got.Get("Authorization") != "Basic dXM6YSBzZWNyZXQgb2YgdGhlIHRlc3RzLCBsb25nIGVub3VnaA==" {
		t.Errorf("headers %v", got)
	}

	set = settings(s.URL)
	set.Signature = rest.Signature{Scheme: "hmac-sha256", Secrets: []channel.Secret{{Value: "0123456789abcdef"}}, Over: "body", Header: "X-Hub-Signature-256", Prefix: "sha256=", Tolerance: time.Minute}
	set.Auth = rest.Auth{Type: "bearer", Secret: channel.Secret{Value: secret}}
	send(t, run(t, open(t, set, channel.Options{})), m)
	// echo -n '{"day":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
	if want := "sha256=" + dayOne; got.Get("X-Hub-Signature-256") != want || got.Get("Authorization") != "Bearer "+secret {
		t.Errorf("signature %q, want %q", got.Get("X-Hub-Signature-256"), want)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"a1"}`) }))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS12}
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		set rest.TLS
		ok  bool
	}{
		"trusted":         {rest.TLS{CAFile: ca, MinVersion: "1.2"}, true},
		"by another name": {rest.TLS{CAFile: ca, MinVersion: "1.2", ServerName: "example.com"}, true},
		"another name":    {rest.TLS{CAFile: ca, MinVersion: "1.2", ServerName: "example.org"}, false},
		"untrusted":       {rest.TLS{MinVersion: "1.2"}, false},
		"version too low": {rest.TLS{CAFile: ca, MinVersion: "1.3"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings(s.URL)
			set.TLS = c.set
			r := open(t, set, channel.Options{})
			runUntilEnd(t, r)
			if !c.ok {
				eventually(t, "the state says why", func() bool { return strings.Contains(fmt.Sprint(r.State()), "tls: ") })
				if got := send(t, r, message(1, "{}")); got.Fate != notification.UnitNotSent {
					t.Errorf("outcome %+v", got)
				}
				return
			}
			eventually(t, "the route is up", func() bool { return r.State() == nil })
			if got := send(t, r, message(1, "{}")); got.ProviderID != "a1" {
				t.Errorf("outcome %+v", got)
			}
		})
	}
}

// TestDrain: a stop waits for the response.
func TestDrain(t *testing.T) {
	arrived, answer := make(chan struct{}), make(chan struct{})
	s := far(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-answer
		fmt.Fprint(w, `{"id":"a1"}`)
	})
	r := open(t, settings(s.URL), channel.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	eventually(t, "the route is up", func() bool { return r.State() == nil })
	release, err := r.Acquire(within(t, patience), 1)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan channel.Outcome, 1)
	go func() {
		defer release()
		out <- r.Send(within(t, patience), message(1, "{}"), always, nil)
	}()
	<-arrived
	cancel()
	eventually(t, "nothing is taken", func() bool {
		_, err := r.Acquire(within(t, time.Second), 1)
		return errors.Is(err, channel.ErrRouteDown)
	})
	close(answer)
	if got := <-out; got.Units[0].Fate != notification.UnitAccepted {
		t.Errorf("outcome %+v", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := send(t, r, message(2, "{}")); got.Fate != notification.UnitNotSent {
		t.Errorf("after the end: %+v", got)
	}
}

// TestAStatusAtOnce: a status in the response is a receipt.
func TestAStatusAtOnce(t *testing.T) {
	s := far(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"a1","state":"Delivered"}`) })
	set := settings(s.URL)
	set.Response.Status.Pointer = "/state"
	taken := &sinks{}
	r := run(t, open(t, set, channel.Options{Receipts: taken}))
	m := message(1, "{}")
	send(t, r, m)
	got, _ := taken.taken()
	if len(got) != 1 || got[0].Status != receipt.Delivered || got[0].ProviderID != "a1" || got[0].Reference != m.Reference || got[0].Unit != 1 {
		t.Errorf("receipts %+v", got)
	}
}

const dayOne = "486882f8f042a6463d0a35e4df96773d38789edf4876b91d3ec18320544362ce"

// TestAServiceThatDoesNotConnect: the route is down while no connection is made in a
// message's time, and up again once one is.
func TestAServiceThatDoesNotConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var accepted []net.Conn
	go func() { // takes connections and makes no TLS with them
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			accepted = append(accepted, conn)
			mu.Unlock()
		}
	}()
	r := open(t, settings("https://"+l.Addr().String()+"/"), channel.Options{})
	runUntilEnd(t, r)
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range accepted {
			conn.Close()
		}
	})
	out := r.Send(within(t, 50*time.Millisecond), message(1, "{}"), always, nil)
	if out.Units[0].Fate != notification.UnitNotSent {
		t.Errorf("outcome %+v", out.Units[0])
	}
	if err := r.State(); err == nil || !strings.Contains(err.Error(), "no connection in time") {
		t.Errorf("state %v", err)
	}
}
