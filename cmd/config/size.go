package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is an amount of memory as it stands in a configuration: 512MiB, 2GiB.
type Size string

var errSize = errors.New("a size is an integer and MiB or GiB")

func (s Size) Bytes() (int64, error) {
	for unit, shift := range map[string]uint{"MiB": 20, "GiB": 30} {
		digits, ok := strings.CutSuffix(string(s), unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64>>shift {
			return 0, errSize
		}
		return n << shift, nil
	}
	return 0, errSize
}
