package clickhouse

import (
	"unsafe"

	"github.com/ebitengine/purego"
)

const lastSignal = 31

// signalActions is the disposition of every signal, in the form of the C
// library's struct sigaction (16 bytes).
type signalActions [lastSignal + 1][2]uint64

func sigaction() (call func(sig int32, new, old unsafe.Pointer) int32, ok bool) {
	symbol, err := purego.Dlsym(purego.RTLD_DEFAULT, "sigaction")
	if err != nil {
		return nil, false
	}
	purego.RegisterFunc(&call, symbol)
	return call, true
}

// saveSignalActions reads all dispositions; see the Linux version for why.
func saveSignalActions() *signalActions {
	var saved signalActions
	if call, ok := sigaction(); ok {
		for sig := int32(1); sig <= lastSignal; sig++ {
			call(sig, nil, unsafe.Pointer(&saved[sig]))
		}
	}
	return &saved
}

// restore puts back what is different now.
func (saved *signalActions) restore() {
	call, ok := sigaction()
	if !ok {
		return
	}
	for sig := int32(1); sig <= lastSignal; sig++ {
		var now [2]uint64
		call(sig, nil, unsafe.Pointer(&now))
		if now != saved[sig] {
			call(sig, unsafe.Pointer(&saved[sig]), nil)
		}
	}
}
