//go:build linux || darwin

package clickhouse

import (
	"slices"
	"strings"
)

var (
	readerWords = []string{"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS"}

	// readerShows are what a reader may SHOW.
	readerShows = []string{"TABLES", "DATABASES", "COLUMNS", "FIELDS", "FULL", "EXTENDED", "CREATE", "TABLE", "FUNCTIONS", "ENGINES", "SETTINGS"}

	// readerTableFunctions make rows of nothing, or of what is filtered itself.
	readerTableFunctions = []string{"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "primes", "values", "view", "null"}

	// readerFunctions are refused wherever they stand: they read tables that they name
	// in a text, or show the engine and its machine.
	readerFunctions = []string{
		"joinget", "joingetornull", "file", "hascolumnintable", "disk", "merge", "loop", "dictionary", "remote", "remotesecure", "cluster",
		"clusterallreplicas", "url", "executable", "eval", "input", "viewexplain", "viewifpermitted", "getserversetting", "getmergetreesetting",
		"getmacro", "getserverport", "serveruuid", "fuzzquery", "addresstoline", "addresstosymbol", "demangle", "catboostevaluate",
		"filesystemavailable", "filesystemcapacity", "filesystemunreserved", "getclienthttpheader", "getoskernelversion", "__getscalar",
		"lowcardinalitykeys", "lowcardinalityindices", "dumpcolumnstructure", "blockserializedsize", "blocknumber",
	}
	readerFunctionPrefixes = []string{"dict", "mergetree", "timeseriesselector", "timeseriesdata", "timeseriestags", "timeseriesmetrics", "prometheusquery"}

	// inFunctions take a table to their right.
	inFunctions = []string{"in", "notin", "nullin", "notnullin", "globalin", "globalnotin", "globalnullin", "globalnotnullin"}

	// volumes are the columns of the tables of tables that show how much there is of
	// all tenants.
	volumes = []string{
		"total_rows", "total_bytes", "total_bytes_uncompressed", "total_marks", "lifetime_rows", "lifetime_bytes", "parts", "active_parts",
		"data_compressed_bytes", "data_uncompressed_bytes", "marks_bytes", "statistics", "table_rows", "data_length", "index_length",
		"max_data_length", "cardinality", "data_free", "avg_row_length", "serialization_hint",
	}
	// positions are the columns that every table has and that show where its rows lie,
	// and with that how many of others' lie before them.
	positions = []string{
		"_part", "_part_index", "_part_uuid", "_part_offset", "_part_starting_offset", "_part_granule_offset", "_part_data_version",
		"_block_number", "_block_offset", "_disk_name", "_sample_factor", "_row_exists", "_distance",
	}
	volumeTables = []string{"tables", "columns", "statistics"}
)

// checkReader refuses what a reader's statement must not be, by the engine's own tree.
func checkReader(conn *connection, q *request, all []relation) error {
	denied := refuse(codeReadonly, "%s: Cannot execute query in readonly mode. (READONLY)", q.reader.Name)
	class, statements := conn.classify(string(q.text))
	switch word := firstWord(q.text); {
	case statements == 0:
		return syntaxError(conn, q.text)
	case statements > 1:
		return refuse(codeSyntax, "Syntax error (Multi-statements are not allowed)")
	case class != classReadOnly, !slices.Contains(readerWords, word):
		return denied
	case word == "SHOW" && !slices.Contains(readerShows, secondWord(q.text)):
		return denied
	}
	text, err := written(conn, string(q.text))
	if err != nil {
		return err
	}
	selects, err := checkReaderText(q, text)
	if err != nil {
		return err
	}
	if firstWord(q.text) == "SHOW" {
		if err := checkShow(text); err != nil {
			return err
		}
	}
	root, err := tree(conn, q.text, q.parameters...)
	if err != nil {
		return err
	}
	hidden, known := map[string]bool{}, map[string]bool{}
	for _, r := range all {
		known[r.String()] = true
		if !r.readable() {
			hidden[r.String()] = true
		}
	}
	loud := strings.EqualFold(q.database, "system") || strings.EqualFold(q.database, "information_schema")
	err = root.walk(func(n *node) error {
		// The engine finds a table's filter by its alias too, and takes the first.
		if n.namesTable() && (known[n.alias] || strings.HasPrefix(n.alias, "system.")) {
			return refuse(codeAccessDenied, "%s: Not enough privileges: an alias is the name of another table. (ACCESS_DENIED)", q.reader.Name)
		}
		switch n.kind {
		case "SelectQuery":
			selects--
		case "Function":
			return checkReaderFunction(n)
		case "TableIdentifier", "Identifier":
			if hidden[n.name] || n.namesTable() && hidden[q.database+"."+n.name] {
				return refuse(codeAccessDenied, "%s: Not enough privileges for this table. (ACCESS_DENIED)", q.reader.Name)
			}
			if slices.Contains(positions, n.name[strings.LastIndexByte(n.name, '.')+1:]) {
				return refuse(codeAccessDenied, "Not enough privileges: where rows lie is not for readers. (ACCESS_DENIED)")
			}
			loud = loud || isVolumeTable(n.name)
		case applies:
			return refuse(codeAccessDenied, "Not enough privileges: APPLY is not for readers. (ACCESS_DENIED)")
		case "Set":
			// The engine lets a subquery's SETTINGS pass under readonly.
			return refuse(codeReadonly, "%s: Cannot modify settings in readonly mode. (READONLY)", q.reader.Name)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case selects > 0:
		return refuse(codeAccessDenied, "the statement cannot be looked through: it holds a SELECT that its tree does not show")
	case loud && strings.Contains(strings.ToLower(text), "natural"): // names no column
		return refuse(codeAccessDenied, "Not enough privileges: NATURAL JOIN with the engine's tables is not for readers. (ACCESS_DENIED)")
	case loud:
		return root.walk(checkVolumes)
	}
	return nil
}

// namesTable reports whether an identifier may be a table's: in FROM, or to the right of IN,
// where a table of the engine Set is read without a filter.
func (n *node) namesTable() bool {
	if n.kind == "TableIdentifier" {
		return true
	}
	list := n.parent
	if list == nil || list.parent == nil || list.parent.kind != "Function" {
		return false
	}
	function := strings.TrimSuffix(strings.ToLower(list.parent.name), "ignoreset")
	return slices.Contains(inFunctions, function) && list.children[0] != n
}

func checkReaderFunction(n *node) error {
	name := strings.ToLower(n.name)
	table := n.parent != nil && n.parent.kind == "TableExpression"
	if deniedFunction(name) || table && !slices.Contains(readerTableFunctions, name) {
		return refuse(codeAccessDenied, "Not enough privileges: the function is not for readers. (ACCESS_DENIED)")
	}
	return nil
}

// deniedFunction reports whether a function, in small letters, is not for readers.
func deniedFunction(name string) bool {
	return slices.Contains(readerFunctions, name) ||
		slices.ContainsFunc(readerFunctionPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func isVolumeTable(name string) bool {
	database, table, _ := strings.Cut(strings.ToLower(name), ".")
	return (database == "system" || database == "information_schema") && slices.Contains(volumeTables, table)
}

// checkVolumes refuses the columns that show how much there is, in a statement that asks
// the tables of tables, and every way to name columns without naming them.
func checkVolumes(n *node) error {
	part := strings.ToLower(n.name[strings.LastIndexByte(n.name, '.')+1:])
	counts := n.parent != nil && n.parent.parent != nil && strings.EqualFold(n.parent.parent.name, "count")
	switch {
	case n.kind == "Identifier" && slices.Contains(volumes, part),
		strings.HasSuffix(n.kind, "Asterisk") && !counts,
		strings.HasSuffix(n.kind, "ColumnsRegexpMatcher"), strings.HasSuffix(n.kind, "ColumnsListMatcher"):
		return refuse(codeAccessDenied, "Not enough privileges: of the engine's tables, name the columns; those of sizes are not for readers. (ACCESS_DENIED)")
	}
	return nil
}

// secondWord of a statement, in capitals.
func secondWord(text []byte) string {
	l := &lexer{text: text}
	_, _ = l.next()
	t, ok := l.next()
	if !ok {
		return ""
	}
	return strings.ToUpper(string(text[t.start:t.end]))
}
