package cmd

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminalWidth is how many characters a line of it has; 0 if it is no terminal.
func terminalWidth(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
