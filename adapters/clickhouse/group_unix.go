//go:build !windows

package clickhouse

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from reaching the child directly.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
