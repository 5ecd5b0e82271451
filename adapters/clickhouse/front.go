//go:build linux || darwin

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueries   = 32               // statements at once
	maxReading   = 24               // readers' among them, of all tenants: the ledger always has a place
	maxInserts   = 4                // inserts among them; each may hold insertBytes of memory
	slotPatience = 10 * time.Second // to wait for one's turn

	// Unless the request sets max_execution_time.
	readSeconds  = 60
	writeSeconds = 600

	killEvery = 200 * time.Millisecond // while a cancelled statement still runs
)

// front is ClickHouse's HTTP interface over the engine.
type front struct {
	engine *engine
	logger *slog.Logger
	slots  chan struct{} // maxQueries
	shared chan struct{} // maxReading
	rows   chan struct{} // maxInserts
	active sync.WaitGroup

	users   Users
	reads   map[string]chan struct{} // maxReads, by tenant
	system  []string                 // the engine's own tables
	running running
	schema  atomic.Uint64 // counts the beginnings and ends of statements that change tables
}

func newFront(e *engine, users Users, logger *slog.Logger) (*front, error) {
	f := &front{engine: e, users: users, logger: logger, slots: make(chan struct{}, maxQueries), shared: make(chan struct{}, maxReading), rows: make(chan struct{}, maxInserts)}
	f.running.ids = map[string]runningStatement{}
	f.reads = map[string]chan struct{}{}
	for _, r := range users.Readers {
		f.reads[r.Tenant] = make(chan struct{}, maxReads)
	}
	var err error
	f.system, err = e.systemTables()
	return f, err
}

// wait waits until no statement runs any more.
func (f *front) wait(patience time.Duration) bool {
	done := make(chan struct{})
	go func() {
		f.active.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(patience):
		return false
	}
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !fromHere(r) {
		http.Error(w, "requests from web pages are refused", http.StatusForbidden)
		return
	}
	switch {
	case !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method):
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "only GET, HEAD and POST", http.StatusMethodNotAllowed)
	case r.URL.Path == "/ping", r.URL.Path == "/replicas_status",
		r.URL.Path == "/" && r.Method != http.MethodPost && !r.URL.Query().Has("query"):
		_, _ = io.WriteString(w, "Ok.\n")
	case r.URL.Path != "/":
		http.Error(w, "There is no handle for this path. Use / or /ping.", http.StatusNotFound)
	default:
		f.active.Add(1)
		defer f.active.Done()
		out := newResponse(w, f.engine)
		if err := f.serve(w, r, out); err != nil {
			out.fail(err)
			f.logFailure(err)
		}
	}
}

// logFailure keeps the codes of failures; the texts may quote a statement's
// values and go to the client only.
func (f *front) logFailure(err error) {
	code := 0
	if e := new(Exception); errors.As(err, &e) {
		code = e.Code
	}
	f.logger.Debug("ClickHouse statement failed", "code", code)
}

// fromHere refuses what a browser sends on behalf of a page, since whoever
// reaches the port may write, and names that only a rebound DNS entry has.
func fromHere(r *http.Request) bool {
	if r.Header.Get("Origin") != "" {
		return false
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return checkLoopbackHost(host) == nil
}

func (f *front) serve(w http.ResponseWriter, r *http.Request, out *response) error {
	reader, err := f.users.authenticate(r)
	if err != nil {
		return err
	}
	q, err := readRequest(w, r)
	if err != nil {
		return err
	}
	q.reader = reader
	q.token = sessionMark(q.token, reader)
	out.of(q)
	end, err := f.running.begin(q.id, q.token, q.user())
	if err != nil {
		return err
	}
	defer end()
	if isHello(q) {
		return f.answerHello(q, out)
	}
	ctx := r.Context()
	// The rows of an insert are read before a query's slot is taken: a slow
	// sender holds up no reader.
	var rows *os.File
	if q.reader != nil {
		reads := f.reads[q.reader.Tenant]
		if err := takeSlot(ctx, reads); err != nil {
			return err
		}
		defer func() { <-reads }()
		if err := takeSlot(ctx, f.shared); err != nil {
			return err
		}
		defer func() { <-f.shared }()
	} else if q.isInsert {
		if err := takeSlot(ctx, f.rows); err != nil {
			return err
		}
		defer func() { <-f.rows }()
		if rows, err = readRows(q.rows, f.engine.insertBytes); err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
	}
	if err := takeSlot(ctx, f.slots); err != nil {
		return err
	}
	defer func() { <-f.slots }()
	conn, err := f.engine.session()
	if err != nil {
		return err
	}
	defer conn.close()
	if id, ok := parseKill(q.text); ok && !q.isInsert {
		if err := f.killByID(q, id); err != nil {
			return err
		}
	}
	if q.reader != nil {
		err = f.prepareReader(conn, q, out)
	} else {
		err = prepare(conn, q)
	}
	if err != nil {
		return err
	}
	started := time.Now()
	res, err := f.execute(ctx, conn, q, rows, out)
	if err != nil {
		return err
	}
	if q.reader != nil {
		res.readRows, res.readBytes = res.rows, 0 // what was read may be others'
	}
	err = out.finish(res, time.Since(started))
	if err != nil && !out.started { // not released
		return err
	}
	if err != nil {
		f.logger.Debug("ClickHouse client went away", "error", err)
	}
	return nil
}

// killByID cancels the statement that a client knows by its id, and makes the request
// one that shows it, as KILL does. A reader may kill its own name's.
func (f *front) killByID(q *request, id string) error {
	s, found := f.running.find(id)
	if found = found && s.token != q.token && (q.reader == nil || s.user == q.user()); found {
		if err := f.engine.kill(s.token); err != nil {
			return err
		}
	}
	q.text = fmt.Appendf(nil, "SELECT 'waiting' AS kill_status, %s AS query_id, %s AS user, '' AS query LIMIT %d", quote(id), quote(q.user()), count(found))
	return nil
}

func count(found bool) int {
	if found {
		return 1
	}
	return 0
}

// user is the name of who asks.
func (q *request) user() string {
	if q.reader != nil {
		return q.reader.Name
	}
	return Writer
}

func takeSlot(ctx context.Context, slots chan struct{}) error {
	timer := time.NewTimer(slotPatience)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return nil
	case <-timer.C:
		return refuse(codeTooManyQueries, "Too many simultaneous queries: %d run, and none ended within %s", cap(slots), slotPatience)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readRows keeps all rows of an insert where the engine can read them:
// an insert whose sender breaks off is never begun.
func readRows(rows io.Reader, limit int64) (*os.File, error) {
	file, err := newPayload()
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(file, io.LimitReader(rows, limit+1))
	switch {
	case err != nil:
		err = bodyError(err)
	case n > limit:
		err = refuse(codeQueryTooLarge, "the insert's rows are more than %d bytes", limit)
	default:
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// prepare gives the session the request's database and settings. The session
// is this request's alone.
func prepare(conn *connection, q *request) error {
	if _, err := conn.exec("USE "+quoteName(q.database), "TSV"); err != nil {
		return err
	}
	limit := readSeconds
	if q.isInsert || !q.readOnly && !startsRead(q.text) {
		limit = writeSeconds
	}
	var set strings.Builder
	fmt.Fprintf(&set, "SET log_comment = %s, max_execution_time = %d", quote(q.token), limit)
	for _, s := range q.settings {
		if s.name == "readonly" {
			continue // last, see below
		}
		fmt.Fprintf(&set, ", %s = %s", s.name, quote(s.value))
	}
	if _, err := conn.exec(set.String(), "TSV"); err != nil {
		return err
	}
	// As in ClickHouse, GET only reads; and whoever asks for readonly has it.
	readonly := 0
	if q.readOnly {
		readonly = 2
	}
	if i := slices.IndexFunc(q.settings, func(s parameter) bool { return s.name == "readonly" }); i >= 0 {
		n, err := strconv.Atoi(q.settings[i].value)
		if err != nil || n < 0 || n > 2 {
			return refuse(codeBadArguments, "readonly is none of 0, 1, 2")
		}
		if n > 0 {
			readonly = n
		}
	}
	if readonly == 0 {
		return nil
	}
	_, err := conn.exec("SET readonly = "+strconv.Itoa(readonly), "TSV")
	return err
}
