package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"recapito/readmodels"
)

// csvFile is RFC 4180 with a line of names. What is not known is empty, as an empty text
// is; times are RFC 3339 in UTC.
type csvFile struct {
	to      *csv.Writer
	columns []readmodels.Column
	fields  []string
}

func newCSV(to io.Writer, columns []readmodels.Column) (*csvFile, error) {
	f := &csvFile{to: csv.NewWriter(to), columns: columns, fields: make([]string, len(columns))}
	f.to.UseCRLF = true
	for i, c := range columns {
		f.fields[i] = c.Name
	}
	return f, f.to.Write(f.fields)
}

func (f *csvFile) row(values []any) error {
	for i, v := range values {
		var err error
		if f.fields[i], err = fieldText(f.columns[i].Kind, v); err != nil {
			return err
		}
	}
	return f.to.Write(f.fields)
}

func (f *csvFile) close() error {
	f.to.Flush()
	return f.to.Error()
}

func fieldText(kind readmodels.Kind, v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return timeText(kind, v), nil
	}
	return "", fmt.Errorf("a value of type %T", v)
}

// jsonlFile is a JSON object a line, every column in each, in order. Amounts are texts.
type jsonlFile struct {
	to      *bufio.Writer
	names   [][]byte
	columns []readmodels.Column
	line    []byte
}

func newJSONL(to io.Writer, columns []readmodels.Column) *jsonlFile {
	f := &jsonlFile{to: bufio.NewWriter(to), columns: columns}
	for i, c := range columns {
		name := append(strconv.AppendQuote(nil, c.Name), ':') // names are plain
		if i > 0 {
			name = append([]byte{','}, name...)
		}
		f.names = append(f.names, name)
	}
	return f
}

func (f *jsonlFile) row(values []any) error {
	line := append(f.line[:0], '{')
	for i, v := range values {
		line = append(line, f.names[i]...)
		var err error
		if line, err = appendJSON(line, f.columns[i].Kind, v); err != nil {
			return err
		}
	}
	f.line = append(line, '}', '\n')
	_, err := f.to.Write(f.line)
	return err
}

func (f *jsonlFile) close() error { return f.to.Flush() }

func appendJSON(line []byte, kind readmodels.Kind, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(line, "null"...), nil
	case string:
		if kind == readmodels.Object {
			return append(line, v...), nil
		}
		text, err := json.Marshal(v)
		return append(line, text...), err
	case int64:
		return strconv.AppendInt(line, v, 10), nil
	case bool:
		return strconv.AppendBool(line, v), nil
	case float64:
		text, err := json.Marshal(v)
		return append(line, text...), err
	case time.Time:
		line = append(line, '"')
		line = append(line, timeText(kind, v)...)
		return append(line, '"'), nil
	}
	return line, fmt.Errorf("a value of type %T", v)
}
