//go:build linux || darwin

package clickhouse

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recapito/readmodels"
)

// Readers have an engine connection under readonly=1, which cannot be undone, and whose mark
// says which tenant's rows the row policy lets through (config.go): that holds whatever a
// statement does. A reader names the documented views only. The engine's own tables and those
// of other databases are shown as far as a filter (additional_table_filters) lets them be.

const (
	maxReads         = 8 // statements of one tenant's readers at once
	memoryPerReading = 4 // a reader's statement may take this part of the engine's memory
)

// readerSettings may be set by a reader in the URL, next to those that only form
// the output. Every other one is refused, since it may undo a filter or show
// what was filtered.
var readerSettings = []string{
	"max_execution_time", "max_memory_usage", "max_threads", "max_block_size", "max_result_rows", "max_result_bytes", "result_overflow_mode",
	"timeout_overflow_mode", "session_timezone", "join_use_nulls", "extremes", "limit", "offset", "date_time_output_format", "date_time_input_format",
	"group_by_use_nulls", "union_default_mode", "prefer_column_name_to_alias", "network_compression_method", "network_zstd_compression_level",
	"max_bytes_before_external_group_by", "max_bytes_before_external_sort", "max_query_size", "max_ast_depth", "max_ast_elements", "final",
	"allow_suspicious_low_cardinality_types", "output_format_json_quote_64bit_integers",
	"send_progress_in_http_headers", "http_headers_progress_interval_ms", "http_write_exception_in_output_format", "http_response_buffer_size",
	"cancel_http_readonly_queries_on_client_close", "http_connection_timeout", "http_receive_timeout", "http_send_timeout", "receive_timeout",
	"send_timeout", "connect_timeout", "enable_http_compression", "http_zlib_compression_level", "select_sequential_consistency",
	"async_insert", "wait_for_async_insert", "insert_deduplicate", "log_queries", "readonly",
}

// hiddenSettings would show how much was read, the rows of others too, or give all of the
// dictionary of a LowCardinality column, which a part's rows share whoever's they are.
var hiddenSettings = []string{"output_format_write_statistics", "output_format_schema", "output_format_arrow_low_cardinality_as_dictionary"}

func mayReaderSet(name string) bool {
	if slices.Contains(hiddenSettings, name) {
		return false
	}
	return slices.Contains(readerSettings, name) || strings.HasPrefix(name, "output_format_") || strings.HasPrefix(name, "format_csv_") ||
		strings.HasPrefix(name, "format_custom_") || name == "format_regexp" || strings.HasPrefix(name, "input_format_")
}

// relation is a table or view as a reader meets it.
type relation struct{ database, name, engine string }

func (r relation) String() string { return r.database + "." + r.name }

// readable are the views of the read models that are documented.
func (r relation) readable() bool {
	return r.database == Database && r.engine == "View" && !readmodels.Internal(r.name)
}

// relations are all tables and views of the engine, those of its own databases apart.
func (e *engine) relations() ([]relation, error) {
	res, err := e.run(`SELECT database, name, engine FROM system.tables WHERE lower(database) NOT IN ('system', 'information_schema') AND NOT is_temporary`)
	if err != nil {
		return nil, fmt.Errorf("list the tables for a reader: %w", err)
	}
	var all []relation
	for line := range strings.SplitSeq(strings.TrimSuffix(string(res.data), "\n"), "\n") {
		if fields := strings.Split(line, "\t"); len(fields) == 3 {
			all = append(all, relation{unescapeTSV.Replace(fields[0]), unescapeTSV.Replace(fields[1]), fields[2]})
		}
	}
	return all, nil
}

var unescapeTSV = strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\b`, "\b", `\f`, "\f", `\0`, "\x00")

// systemTables lists the engine's own, once: they are its version's.
func (e *engine) systemTables() ([]string, error) {
	res, err := e.run("SELECT name FROM system.tables WHERE database = 'system'")
	if err != nil {
		return nil, fmt.Errorf("list the engine's own tables: %w", err)
	}
	return strings.Fields(string(res.data)), nil
}

// openSystemTables hold nothing of anyone's data. Those that name tables have the column of
// the database's name here, and of the table's: they show the views that readers may read.
var openSystemTables = map[string][2]string{
	"one": {}, "numbers": {}, "numbers_mt": {}, "zeros": {}, "zeros_mt": {}, "functions": {}, "formats": {}, "settings": {},
	"data_type_families": {}, "table_functions": {}, "table_engines": {}, "time_zones": {}, "keywords": {}, "collations": {},
	"aggregate_function_combinators": {}, "contributors": {}, "licenses": {},
	"tables": {"database", "name"}, "columns": {"database", "table"}, "databases": {"name", ""},
}

// onlyReadable is the filter of a system table that names tables. The engine takes an alias
// for a table's name, so it also says which table it is for: on any other it leaves nothing.
func onlyReadable(table string, columns [2]string, readable []string) string {
	filter := fmt.Sprintf("_database = 'system' AND _table = '%s' AND %s = '%s'", table, columns[0], Database)
	if columns[1] != "" {
		filter += fmt.Sprintf(" AND %s IN ['%s']", columns[1], strings.Join(readable, "', '"))
	}
	return filter
}

// systemFilters is the value of additional_table_filters for readers.
func systemFilters(system []string, all []relation) string {
	var b strings.Builder
	add := func(name, filter string) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(name) + ": " + quote(filter))
	}
	var readable []string
	for _, r := range all {
		switch {
		case r.readable():
			readable = append(readable, r.name)
		case r.database != Database:
			add(r.String(), "0")
		}
	}
	for _, name := range system {
		if columns, open := openSystemTables[name]; !open {
			add("system."+name, "0")
		} else if columns[0] != "" {
			add("system."+name, onlyReadable(name, columns, readable))
		}
	}
	return "{" + b.String() + "}"
}

// namingUser replaces currentUser() by the reader's name, as the engine knows one user only.
func namingUser(text []byte, name string) []byte {
	var replaced bytes.Buffer
	l, done := &lexer{text: text}, 0
	var last [2]token // the two before
	for n := 0; ; n++ {
		t, more := l.next()
		if !more {
			replaced.Write(text[done:])
			return replaced.Bytes()
		}
		user := l.is(last[0], "currentUser") || l.is(last[0], "user") || l.is(last[0], "current_user")
		if n > 1 && user && l.isSymbol(last[1], '(') && l.isSymbol(t, ')') {
			replaced.Write(text[done:last[0].start])
			replaced.WriteString(quote(name))
			done = t.end
		}
		last = [2]token{last[1], t}
	}
}

// prepareReader gives the session what a reader has. The response is only released if the
// tables are then still those that the filters are for.
func (f *front) prepareReader(conn *connection, q *request, out *response) error {
	if q.isInsert {
		return refuse(codeReadonly, "%s: Cannot execute query in readonly mode. (READONLY)", q.reader.Name)
	}
	q.text = namingUser(q.text, q.reader.Name)
	generation := f.schema.Load()
	out.release = func() error {
		if f.schema.Load() != generation {
			return refuse(codeTooManyQueries, "the tables were changed meanwhile: ask again")
		}
		return nil
	}
	all, err := f.engine.relations()
	if err != nil {
		return err
	}
	if _, err := conn.exec("USE "+quoteName(q.database), "TSV"); err != nil {
		return err
	}
	if err := checkReader(conn, q, all); err != nil {
		return err
	}
	memory := f.engine.memory / memoryPerReading
	limits := map[string]float64{"max_execution_time": readSeconds, "max_memory_usage": float64(memory)}
	var set strings.Builder
	// Large GROUP BYs and sorts go to disk before a reader's part is full, which is less
	// than where the writer's go.
	fmt.Fprintf(&set, "SET max_execution_time = %d, max_memory_usage = %d, max_bytes_before_external_group_by = %d, max_bytes_before_external_sort = %d",
		readSeconds, memory, memory/4, memory/4)
	for _, s := range q.settings {
		if !mayReaderSet(s.name) {
			return refuse(codeReadonly, "Cannot modify '%s' setting in readonly mode. (READONLY)", s.name)
		}
		limit, limited := limits[s.name]
		n, err := strconv.ParseFloat(s.value, 64)
		switch {
		case s.name == "readonly":
		case limited && (err != nil || n <= 0 || n > limit):
		default:
			fmt.Fprintf(&set, ", %s = %s", s.name, quote(s.value))
		}
	}
	if _, err := conn.exec(set.String(), "TSV"); err != nil {
		return err
	}
	// Ours go last. The condition cache remembers which parts hold nothing for a
	// condition, without the filter.
	_, err = conn.exec("SET log_comment = "+quote(q.token)+", use_query_cache = 0, use_query_condition_cache = 0, "+
		"output_format_write_statistics = 0, output_format_arrow_low_cardinality_as_dictionary = 0, additional_result_filter = '', additional_table_filters = "+systemFilters(f.system, all), "TSV")
	if err != nil {
		return err
	}
	_, err = conn.exec("SET readonly = 1", "TSV")
	return err
}
