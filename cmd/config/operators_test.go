package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOperators(t *testing.T) {
	for name, test := range map[string]struct {
		file, operator, wrong string
	}{
		"a table":          {file: "+39333,TIM\n+393331,\"Test, Mobile\"\n", operator: "Test, Mobile"},
		"another number's": {file: "+39347,Vodafone\n"},
		"empty":            {},
		"a prefix twice":   {file: "+39333,TIM\n+39333,WIND\n", wrong: "line 2"},
		"three columns":    {file: "+39333,TIM\n+39347,a,b\n", wrong: "line 2"},
		"no prefix":        {file: "TIM,+39333\n", wrong: "must be + and"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Operators = filepath.Join(t.TempDir(), "operators.csv")
			if err := os.WriteFile(c.Operators, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			table, err := c.ReadOperators()
			if test.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), test.wrong) || !strings.HasPrefix(err.Error(), "operators: ") {
					t.Errorf("read, or %v: want %q", err, test.wrong)
				}
				return
			}
			if got := table.Of("+393331234567"); err != nil || got != test.operator {
				t.Errorf("the operator is %q, %v", got, err)
			}
		})
	}
	c := Default()
	if table, err := c.ReadOperators(); err != nil || table.Of("+393331234567") != "" {
		t.Errorf("without a file: %v", err)
	}
	c.Operators = filepath.Join(t.TempDir(), "absent")
	if _, err := c.ReadOperators(); err == nil {
		t.Error("a file that is not there was read")
	}
}
