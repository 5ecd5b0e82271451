package cmd

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// progressBar shows long work: one line rewritten on a terminal, a plain line now and
// then elsewhere.
type progressBar struct {
	out      io.Writer
	terminal bool
	began    time.Time
	last     time.Time
	open     bool
}

const (
	barWidth   = 30
	plainEvery = 2 * time.Second
)

func newProgress(out io.Writer) *progressBar {
	b := &progressBar{out: out, began: time.Now()}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			b.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return b
}

func (b *progressBar) show(done, total uint64) {
	share := 0.0
	if total > 0 {
		share = float64(done) / float64(total)
	}
	rate := float64(done) / max(time.Since(b.began).Seconds(), 0.001)
	text := fmt.Sprintf("%3.0f %%  %s of %s events  %.0f/s", share*100, thousands(done), thousands(total), rate)
	switch {
	case b.terminal:
		filled := int(share * barWidth)
		_, _ = fmt.Fprintf(b.out, "\r[%s%s]  %s ", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), text)
		b.open = true
	case time.Since(b.last) >= plainEvery:
		_, _ = fmt.Fprintln(b.out, text)
		b.last = time.Now()
	}
}

func (b *progressBar) end() {
	if b.open {
		_, _ = fmt.Fprintln(b.out)
	}
}

// thousands writes 1234567 as 1,234,567.
func thousands(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
