package address

import (
	"regexp"
	"strings"
	"unicode"
)

// place is one character of a text as the finder of numbers sees it.
type place struct {
	at, end   int  // its bytes in the text
	digit     byte // '0' to '9'; 0 if it is no digit
	plus      bool
	separates bool // may stand between digits of one number
}

// places reads a text, the digits of other scripts and full-width forms too.
func places(text string) []place {
	all := make([]place, 0, len(text))
	for i, r := range text {
		if n := len(all); n > 0 {
			all[n-1].end = i
		}
		p := place{at: i, digit: digit(r)}
		switch {
		case r == '+' || r == '＋':
			p.plus = true
		case strings.ContainsRune("-./() ", r), unicode.Is(unicode.Zs, r), unicode.Is(unicode.Pd, r),
			r == '\t', r == '（', r == '）', r == '．', r == '\u00ad', r == '\u200b', r == '\u2060':
			p.separates = true
		}
		all = append(all, p)
	}
	if n := len(all); n > 0 {
		all[n-1].end = len(text)
	}
	return all
}

// digitBlocks are the zeros of the scripts whose digits phone numbers are written in:
// Arabic-Indic, Persian, Devanagari, Bengali, Thai and full-width.
var digitBlocks = []rune{'0', '\u0660', '\u06f0', '\u0966', '\u09e6', '\u0e50', '\uff10'}

func digit(r rune) byte {
	for _, zero := range digitBlocks {
		if r >= zero && r <= zero+9 {
			return '0' + byte(r-zero)
		}
	}
	return 0
}

var (
	// uuid is RFC 9562's text form.
	uuid = regexp.MustCompile(`[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}`)
	// isoTime is a date, or a date and a time, of ISO 8601 and RFC 3339, or day first.
	isoTime = regexp.MustCompile(`\b(?:(?:19|20)\d\d[-/.](?:0[1-9]|1[0-2])[-/.](?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|[12]\d|3[01])[-/.](?:0[1-9]|1[0-2])[-/.](?:19|20)\d\d)(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?\b`)
	word    = regexp.MustCompile(`[0-9A-Za-z_]+`)
)

// manyTurns is how often letters and digits must alternate in a word for it to be a
// mixed id (a ULID, a hash) instead of letters before a number.
const manyTurns = 4

// unmixed is places without what is an id or a date and no number: nothing of those
// counts as a digit.
func unmixed(text string) []place {
	all := places(text)
	blank := func(spans [][]int) {
		for _, s := range spans {
			for i := range all {
				if all[i].at >= s[0] && all[i].at < s[1] {
					all[i].digit, all[i].separates = 0, false
				}
			}
		}
	}
	if len(digits(all)) < minInternational {
		return nil
	}
	blank(uuid.FindAllStringIndex(text, -1))
	blank(isoTime.FindAllStringIndex(text, -1))
	for _, s := range word.FindAllStringIndex(text, -1) {
		if turns(text[s[0]:s[1]]) >= manyTurns {
			blank([][]int{s})
		}
	}
	return all
}

// turns counts how often letters and digits alternate.
func turns(word string) (n int) {
	for i := 1; i < len(word); i++ {
		if isDigit(word[i]) != isDigit(word[i-1]) {
			n++
		}
	}
	return n
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }
