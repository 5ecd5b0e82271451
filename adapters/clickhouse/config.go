//go:build linux || darwin

package clickhouse

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"recapito/readmodels"
)

// The engine's settings. A query that needs more memory than there is fails
// with code 241; the process stays. Large GROUP BYs and sorts go to disk before
// that. Nothing is compiled: whoever asks a question for the third time would
// wait 50 to 100 ms for the compiler, which tables of this size never earn
// back. No grant on a source (FILE, URL, S3, REMOTE, …) and none on SYSTEM
// SHUTDOWN, users or named collections: the list names what the ledger needs
// and nothing else.
//
// The row policy is that of every table and view of the read models' database, those made
// later too: the engine applies it as it reads, before any expression of a statement. A
// table without a column tenant can be read there only if it is named. The engine knows one
// user; whose rows a session sees stands in its log_comment, which only the front sets: see
// sessionMark.
var (
	serverConfig = template.Must(template.New("config.xml").Funcs(template.FuncMap{"xml": escapeXML}).Parse(
		`<clickhouse>
  <max_server_memory_usage>{{.Memory}}</max_server_memory_usage>
  <mark_cache_size>{{.MarkCache}}</mark_cache_size>
  <index_mark_cache_size>{{.MarkCache}}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <users_config>{{xml .Users}}</users_config>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
</clickhouse>
`))
	usersConfig = template.Must(template.New("users.xml").Funcs(template.FuncMap{"xml": escapeXML}).Parse(
		`<clickhouse>
  <profiles>
    <default>
      <max_bytes_before_external_group_by>{{.Spill}}</max_bytes_before_external_group_by>
      <max_bytes_before_external_sort>{{.Spill}}</max_bytes_before_external_sort>
      <max_memory_usage>{{.Query}}</max_memory_usage>
      <output_format_parquet_row_group_size_bytes>{{.RowGroup}}</output_format_parquet_row_group_size_bytes>
      <session_timezone>UTC</session_timezone>
      <implicit_select>0</implicit_select>
      <compile_expressions>0</compile_expressions>
      <compile_aggregate_expressions>0</compile_aggregate_expressions>
      <compile_sort_description>0</compile_sort_description>
      <constraints>{{range .Constant}}
        <{{.}}><readonly/></{{.}}>{{end}}
      </constraints>
    </default>
  </profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SHOW, SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, DROP, TRUNCATE, OPTIMIZE, UNDROP TABLE, KILL QUERY, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM MOVES, SYSTEM FLUSH, SYSTEM DROP CACHE, SYSTEM VIEWS ON *.*</query>
      </grants>
      <databases>
        <database name="{{.Database}}">
          <table name=""><filter>{{xml .RowFilter}}</filter></table>{{range .WithoutTenant}}
          <{{.}}><filter>1</filter></{{.}}>{{end}}
        </database>
      </databases>
    </default>
  </users>
</clickhouse>
`))
)

const (
	// DefaultMemory bounds the child: all queries and merges together, and the rows of
	// inserts that are being received.
	DefaultMemory = 2 << 30
	// MinMemory is the least with which the engine is of use.
	MinMemory = 256 << 20

	memoryPerRows  = 4  // the rows of inserts that wait take this part of the limit; the engine has the rest
	memoryPerQuery = 2  // one query may take this part of the engine's,
	memoryPerSpill = 4  // and spills to disk at this part of it
	memoryPerMarks = 16 // the mark caches take this part of it each
	// A row group of Parquet, which is made in memory, takes this part of it.
	memoryPerRowGroup = 32
	// Go's own heap is collected before it takes more than this part of the limit.
	memoryPerHeap = 8
)

// The log_comment of a session: that of the ledger sees every row, a reader's those of its
// tenant and of nobody, any other none. A request's token is one of them, since it is also
// how its statements are found.
const (
	writerMark = "w|"
	readerMark = readmodels.ReaderMark
	idLength   = 32 // of newID
)

// rowFilter is the row policy. The part that asks for the session is folded when a
// statement is planned: the ledger's own statements are not slowed.
var rowFilter = fmt.Sprintf("startsWith(getSetting('log_comment'), '%s') OR startsWith(getSetting('log_comment'), '%s') AND tenant IN (substring(getSetting('log_comment'), %d), '%s')",
	writerMark, readerMark, len(readerMark)+idLength+2, readmodels.OfNobody)

// sessionMark is the log_comment of a session of the ledger, or of a reader.
func sessionMark(id string, reader *Reader) string {
	if reader == nil {
		return writerMark + id
	}
	return readerMark + id + "|" + reader.Tenant
}

// checkMemory gives the limit that an option means.
func checkMemory(memory int64) (int64, error) {
	if memory == 0 {
		return DefaultMemory, nil
	}
	if memory < MinMemory {
		return 0, fmt.Errorf("the ClickHouse memory limit of %d bytes is below %d", memory, int64(MinMemory))
	}
	return memory, nil
}

// engineBytes is what the engine has for all statements and merges.
func engineBytes(memory int64) int64 {
	return memory - memory/memoryPerRows - memory/memoryPerHeap
}

// insertBytes is how many bytes of rows one insert may have under a memory limit.
func insertBytes(memory int64) int64 {
	return min(maxInsertBytes, memory/memoryPerRows/maxInserts)
}

// constantSettings name files or hosts to read, or change the language that
// statements are checked in; no request may set them.
var constantSettings = []string{
	"format_schema", "format_schema_source", "format_schema_message_name",
	"format_template_row", "format_template_row_format", "format_template_resultset", "format_template_resultset_format",
	"format_avro_schema_registry_url",
	"output_format_schema",
	"dialect", "allow_experimental_kusto_dialect", "allow_experimental_prql_dialect",
}

// writeConfig writes the engine's two configuration files into the folder and
// returns the path of the first.
func writeConfig(dir string, memory int64) (string, error) {
	engine := engineBytes(memory)
	users := filepath.Join(dir, "users.xml")
	values := struct {
		Memory, MarkCache, Query, Spill, RowGroup int64
		Users                                     string
		Constant                                  []string
		Database, RowFilter                       string
		WithoutTenant                             []string
	}{engine, engine / memoryPerMarks, engine / memoryPerQuery, engine / memoryPerSpill, engine / memoryPerRowGroup, users, constantSettings,
		Database, rowFilter, readmodels.WithoutTenant}
	if err := writeTemplate(users, usersConfig, values); err != nil {
		return "", err
	}
	server := filepath.Join(dir, "config.xml")
	return server, writeTemplate(server, serverConfig, values)
}

func writeTemplate(path string, t *template.Template, values any) error {
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(path), err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the engine's configuration: %w", err)
	}
	return nil
}

func escapeXML(s string) (string, error) {
	var b bytes.Buffer
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}
