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
	fileEvery  = 100 * time.Millisecond
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
	share := portion(done, total)
	b.draw(share, fmt.Sprintf("%3.0f %%  %s of %s events  %.0f/s", share*100, thousands(done), thousands(total), b.rate(done)))
}

// showLeft is for work that began before it was watched: its rate is reported.
func (b *progressBar) showLeft(done, total, rate uint64, what string) {
	share := portion(done, total)
	text := fmt.Sprintf("%3.0f %%  %s of %s events  %d/s", share*100, thousands(done), thousands(total), rate)
	if rate > 0 && total >= done {
		text += fmt.Sprintf("  %s left", time.Duration((total-done)/rate)*time.Second)
	}
	b.draw(share, text+"  "+what)
}

// showKeys is for work that goes through all of a store.
func (b *progressBar) showKeys(done, total uint64) {
	share := portion(done, total)
	b.draw(share, fmt.Sprintf("%3.0f %%  %s keys  %.0f/s", share*100, thousands(done), b.rate(done)))
}

// showBytes is for work that is measured in bytes; a total of 0 is unknown.
func (b *progressBar) showBytes(events, done, total uint64) {
	share := portion(done, total)
	text := fmt.Sprintf("%s events  %.0f/s", thousands(events), b.rate(events))
	if total > 0 {
		text = fmt.Sprintf("%3.0f %%  ", share*100) + text
	}
	b.draw(share, text)
}

// showFile is for a file whose length is not known: it reports how much came, and how fast.
func (b *progressBar) showFile(bytes uint64) {
	switch {
	case !b.terminal && b.last.IsZero(): // what is soon done needs no line
		b.last = b.began
	case b.terminal && time.Since(b.last) < fileEvery:
	case b.terminal:
		b.last = time.Now()
		b.line(moving(time.Since(b.began)), fileText(bytes, b.rate(bytes)))
	default:
		b.draw(0, fileText(bytes, b.rate(bytes)))
	}
}

// endFile shows that a file is complete, or ends the line of one that is not.
func (b *progressBar) endFile(bytes uint64, complete bool) {
	if b.terminal && complete {
		b.line(strings.Repeat("=", barWidth), fileText(bytes, b.rate(bytes)))
	}
	b.end()
}

func fileText(bytes uint64, rate float64) string {
	return fmt.Sprintf("%s kB  %s kB/s", thousands(bytes>>10), thousands(uint64(rate)>>10))
}

// moving is a bar of work whose end is not known: a piece that goes to and fro.
func moving(since time.Duration) string {
	const piece, steps = 5, barWidth - 5
	at := int(since/fileEvery) % (2 * steps)
	if at > steps {
		at = 2*steps - at
	}
	return strings.Repeat(" ", at) + strings.Repeat("=", piece) + strings.Repeat(" ", steps-at)
}

func portion(done, total uint64) float64 {
	if total == 0 {
		return 0
	}
	return min(float64(done)/float64(total), 1)
}

func (b *progressBar) rate(done uint64) float64 {
	return float64(done) / max(time.Since(b.began).Seconds(), 0.001)
}

func (b *progressBar) draw(share float64, text string) {
	switch {
	case b.terminal:
		filled := int(share * barWidth)
		b.line(strings.Repeat("=", filled)+strings.Repeat(" ", barWidth-filled), text)
	case time.Since(b.last) >= plainEvery:
		_, _ = fmt.Fprintln(b.out, text)
		b.last = time.Now()
	}
}

// line draws a terminal's line anew.
func (b *progressBar) line(bar, text string) {
	_, _ = fmt.Fprintf(b.out, "\r[%s]  %s ", bar, text)
	b.open = true
}

func (b *progressBar) end() {
	if b.open {
		_, _ = fmt.Fprintln(b.out)
		b.open = false
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
