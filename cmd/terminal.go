package cmd

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// terminalWidth is how many characters a line of it has; 0 if it is no terminal.
func terminalWidth(out io.Writer) int {
	f, ok := out.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
