package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"recapito/domain/address"
)

// maxOperatorsBytes bounds the file of operators: 100,000 prefixes fit.
const maxOperatorsBytes = 8 << 20

// ReadOperators reads the configured table of operators: a CSV file (RFC 4180), a prefix
// and an operator a line, such as `+39333,TIM`. Without a file the table is empty.
func (c Config) ReadOperators() (address.Operators, error) {
	if c.Operators == "" {
		return address.Operators{}, nil
	}
	f, err := os.Open(c.Operators)
	if err != nil {
		return address.Operators{}, fmt.Errorf("operators: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	prefixes, err := readPrefixes(http.MaxBytesReader(nil, f, maxOperatorsBytes))
	if err == nil {
		var table address.Operators
		if table, err = address.NewOperators(prefixes); err == nil {
			return table, nil
		}
	}
	return address.Operators{}, fmt.Errorf("operators: file %s: %w", c.Operators, err)
}

func readPrefixes(in io.Reader) (map[string]string, error) {
	lines := csv.NewReader(in)
	lines.FieldsPerRecord = 2
	prefixes := map[string]string{}
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return prefixes, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := lines.FieldPos(0)
		if _, twice := prefixes[fields[0]]; twice {
			return nil, fmt.Errorf("line %d: the prefix %s stands in the file twice", line, fields[0])
		}
		prefixes[fields[0]] = fields[1]
	}
}
