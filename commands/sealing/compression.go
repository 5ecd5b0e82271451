package sealing

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// compressFrom is the size from which a value is compressed: below it little is won.
	compressFrom = 1 << 10
	// maxClearBytes bounds what a compressed value may become when it is opened. Larger
	// ones are sealed as they are; an event's own limit is far below.
	maxClearBytes = 16 << 20
	zstdName      = "zstd"
)

// Both are safe for concurrent use by their EncodeAll and DecodeAll, and run no goroutines
// for them.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxClearBytes)))
)

func must[T any](made T, err error) T {
	if err != nil { // options that do not go together
		panic(err)
	}
	return made
}

// compress returns a value as it is to be sealed, and how it was compressed: not at all
// where it is small, or would not become smaller by an eighth. Compression shows in the
// length of what is sealed, as the length of a value does.
func compress(clear []byte) (packed []byte, compression string) {
	if len(clear) < compressFrom || len(clear) > maxClearBytes {
		return clear, ""
	}
	packed = encoder.EncodeAll(clear, make([]byte, 0, len(clear)/2))
	if len(packed) > len(clear)-len(clear)/8 {
		return clear, ""
	}
	return packed, zstdName
}

func decompress(packed []byte, compression string) ([]byte, error) {
	switch compression {
	case "":
		return packed, nil
	case zstdName:
		return decoder.DecodeAll(packed, nil)
	default:
		return nil, fmt.Errorf("it is compressed in a way that is not known: %d bytes of name", len(compression))
	}
}
