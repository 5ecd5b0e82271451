package channel

import "slices"

// CodesOf returns a table of codes; what is not listed has the class of unknown codes.
func CodesOf(version string, unknown Class, list ...Code) Codes {
	byCode := make(map[string]Code, len(list))
	for _, c := range list {
		byCode[c.Code] = c
	}
	return Codes{
		Version: version,
		Lookup: func(code string) (Code, bool) {
			c, ok := byCode[code]
			if !ok {
				return Code{Code: code, Class: unknown}, false
			}
			return c, true
		},
		List: func() []Code { return slices.Clone(list) },
	}
}
