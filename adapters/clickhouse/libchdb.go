//go:build linux || darwin

package clickhouse

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is the part of libchdb's C interface that is used here, bound
// without cgo. All pointers are the library's own; lengths are in bytes.
type library struct {
	connect  func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	close    func(conn unsafe.Pointer)
	query    func(handle, query unsafe.Pointer, queryLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	classify func(handle, query unsafe.Pointer, queryLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32
	destroy  func(result unsafe.Pointer)

	resultError        func(result unsafe.Pointer) string
	resultBuffer       func(result unsafe.Pointer) unsafe.Pointer
	resultLength       func(result unsafe.Pointer) uintptr
	resultRows         func(result unsafe.Pointer) uint64
	resultReadRows     func(result unsafe.Pointer) uint64
	resultReadBytes    func(result unsafe.Pointer) uint64
	resultWrittenRows  func(result unsafe.Pointer) uint64
	resultWrittenBytes func(result unsafe.Pointer) uint64
}

// loadLibrary maps the file and binds its functions. It starts nothing. The engine's
// time zone is UTC, whatever this process's is.
func loadLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: it does not load: %w; %s", ErrNoLibrary, err, howToGetIt)
	}
	lib := &library{}
	var setenv func(name, value string, overwrite int32) int32
	for _, f := range []struct {
		name string
		fn   any
	}{
		{"setenv", &setenv}, // the C library's: it does not see what os.Setenv sets
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.close},
		{"chdb_query_with_params_n", &lib.query},
		{"chdb_classify_query_n", &lib.classify},
		{"chdb_destroy_query_result", &lib.destroy},
		{"chdb_result_error", &lib.resultError},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_result_rows_read", &lib.resultRows},
		{"chdb_result_storage_rows_read", &lib.resultReadRows},
		{"chdb_result_storage_bytes_read", &lib.resultReadBytes},
		{"chdb_result_rows_written", &lib.resultWrittenRows},
		{"chdb_result_bytes_written", &lib.resultWrittenBytes},
	} {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil {
			return nil, fmt.Errorf("%w: it lacks %s (is it libchdb %s?); %s", ErrNoLibrary, f.name, LibraryVersion, howToGetIt)
		}
		purego.RegisterFunc(f.fn, symbol)
	}
	if setenv("TZ", "UTC", 1) != 0 {
		return nil, errors.New("the ClickHouse engine's time zone cannot be set")
	}
	return lib, nil
}

// connection is one engine connection: one session, one statement at a time.
type connection struct {
	lib *library
	ptr unsafe.Pointer // chdb_connection*

	texts map[string]string // as the engine writes them, see written
}

// open starts an engine connection; the first one in a process starts the
// engine. The library returns null on every failure, without a reason.
func (l *library) open(args ...string) (*connection, bool) {
	argv := make([]unsafe.Pointer, 0, len(args)+1)
	for _, arg := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, bytesPointer(append([]byte(arg), 0)))
	}
	ptr := l.connect(int32(len(argv)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if ptr == nil {
		return nil, false
	}
	return &connection{lib: l, ptr: ptr, texts: map[string]string{}}, true
}

func (c *connection) handle() unsafe.Pointer { return *(*unsafe.Pointer)(c.ptr) }

func (c *connection) close() { c.lib.close(c.ptr) }

// parameter is a value for a {name:Type} placeholder, escaped as in TSV.
type parameter struct{ name, value string }

// result is what a statement gave. Data is nil where the statement wrote its
// output to a file.
type result struct {
	data                      []byte
	rows, readRows, readBytes uint64
	writtenRows, writtenBytes uint64
}

// exec runs one statement and materialises its output in format.
func (c *connection) exec(statement, format string, parameters ...parameter) (result, error) {
	count := len(parameters)
	// One element at least, so that taking the address is always valid.
	names, values := make([]unsafe.Pointer, count+1), make([]unsafe.Pointer, count+1)
	nameLens, valueLens := make([]uintptr, count+1), make([]uintptr, count+1)
	for i, p := range parameters {
		names[i], nameLens[i] = bytesPointer([]byte(p.name)), uintptr(len(p.name))
		values[i], valueLens[i] = bytesPointer([]byte(p.value)), uintptr(len(p.value))
	}
	query, out := bytesPointer([]byte(statement)), bytesPointer([]byte(format))
	r := c.lib.query(c.handle(), query, uintptr(len(statement)), out, uintptr(len(format)),
		unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0]),
		unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0]), uintptr(count))
	runtime.KeepAlive(names)
	runtime.KeepAlive(values)
	runtime.KeepAlive(query)
	runtime.KeepAlive(out)
	if r == nil {
		return result{}, &Exception{Code: codeUnknown, Message: "the engine gave no result"}
	}
	defer c.lib.destroy(r)
	// The counters of an error result are garbage: look at the error first.
	if message := c.lib.resultError(r); message != "" {
		return result{}, parseException(message)
	}
	res := result{
		rows:         c.lib.resultRows(r),
		readRows:     c.lib.resultReadRows(r),
		readBytes:    c.lib.resultReadBytes(r),
		writtenRows:  c.lib.resultWrittenRows(r),
		writtenBytes: c.lib.resultWrittenBytes(r),
	}
	if n := c.lib.resultLength(r); n > 0 {
		res.data = append(res.data, unsafe.Slice((*byte)(c.lib.resultBuffer(r)), n)...)
	}
	return res, nil
}

// statementClass is what a statement does, by the engine's own parser.
type statementClass uint32

const (
	classReadOnly       statementClass = iota // SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK
	classMutating                             // changes a database
	classMutatingGlobal                       // functions, users, named collections
	classControl                              // USE, SET, SYSTEM, KILL, INTO OUTFILE, …
	classUnknown                              // did not parse
)

// classify asks the engine's parser, without running anything, what the text
// is and how many statements it holds (none if it does not parse).
func (c *connection) classify(text string) (class statementClass, statements int) {
	// struct_size, statement_count, flags, query_class.
	analysis := [4]uint32{16, 0, 0, uint32(classUnknown)}
	query := bytesPointer([]byte(text))
	state := c.lib.classify(c.handle(), query, uintptr(len(text)), nil, 0, unsafe.Pointer(&analysis[0]))
	runtime.KeepAlive(query)
	if state != 0 {
		return classUnknown, 0
	}
	return statementClass(analysis[3]), int(analysis[1])
}

// bytesPointer returns the address of b's first byte, a valid one if b is
// empty.
func bytesPointer(b []byte) unsafe.Pointer {
	if len(b) == 0 {
		b = make([]byte, 1)
	}
	return unsafe.Pointer(&b[0])
}
