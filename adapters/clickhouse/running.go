package clickhouse

import (
	"strings"
	"sync"
)

// running knows the statements under way by the id that their clients gave them; the
// engine gives ids of its own.
type running struct {
	mu  sync.Mutex
	ids map[string]runningStatement
}

type runningStatement struct{ token, user string }

// begin registers a statement; end must be called after it.
func (r *running) begin(id, token, user string) (end func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.ids[id]; taken {
		return nil, refuse(codeSameID, "Query with this id is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)")
	}
	r.ids[id] = runningStatement{token, user}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.ids, id)
	}, nil
}

func (r *running) find(id string) (runningStatement, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.ids[id]
	return s, ok
}

// parseKill recognises KILL QUERY WHERE query_id = 'id' [SYNC | ASYNC], as clients send
// it to cancel.
func parseKill(text []byte) (id string, ok bool) {
	l := &lexer{text: text}
	word := func(want string) bool {
		t, more := l.next()
		return more && l.is(t, want)
	}
	if !word("KILL") || !word("QUERY") || !word("WHERE") || !word("query_id") {
		return "", false
	}
	if t, more := l.next(); !more || !l.isSymbol(t, '=') {
		return "", false
	}
	t, more := l.next()
	if !more || t.kind != tokenQuoted || t.end-t.start < 2 || text[t.start] != '\'' {
		return "", false
	}
	id = string(text[t.start+1 : t.end-1])
	if t, more = l.next(); more && (l.is(t, "SYNC") || l.is(t, "ASYNC")) {
		t, more = l.next()
	}
	if more && l.isSymbol(t, ';') {
		_, more = l.next()
	}
	return id, !more && !strings.ContainsAny(id, `\'`)
}
