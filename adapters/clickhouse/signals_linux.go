package clickhouse

import (
	"syscall"
	"unsafe"
)

const (
	lastSignal = 64
	// The kernel's signal set is 8 bytes, and its sigaction at most 32 on the
	// architectures libchdb is built for.
	kernelSigsetBytes = 8
)

// signalActions is the disposition of every signal.
type signalActions [lastSignal + 1][4]uint64

// saveSignalActions reads all dispositions. The engine's first connection
// replaces some, SIGSEGV and Go's preemption signal among them; a nil
// dereference in Go would then hang instead of panicking.
func saveSignalActions() *signalActions {
	var saved signalActions
	for sig := 1; sig <= lastSignal; sig++ {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&saved[sig])), kernelSigsetBytes, 0, 0)
	}
	return &saved
}

// restore puts back what is different now.
func (saved *signalActions) restore() {
	for sig := 1; sig <= lastSignal; sig++ {
		var now [4]uint64
		_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&now)), kernelSigsetBytes, 0, 0)
		if now != saved[sig] {
			_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&saved[sig])), 0, kernelSigsetBytes, 0, 0)
		}
	}
}
