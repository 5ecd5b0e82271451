//go:build linux || darwin

package clickhouse

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

const (
	nativeBufferBytes = 1 << 20
	maxNativeColumns  = 10_000
)

// nativeBlockInfo precedes a block since revision 51903: not an overflow block, no
// bucket.
var nativeBlockInfo = []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}

var errShortNative = errors.New("the engine's blocks end early")

// wantsRevision reports whether a response's blocks are to be those of a revision. The
// engine writes revision 0, which is what clickhouse-go reads after our hello, though it
// asks for more; other clients mean what they ask for.
func (q *request) wantsRevision(format string) bool {
	return q.revision > 0 && !q.knowsHello && strings.EqualFold(format, "Native")
}

// transcodeNative copies blocks of revision 0 and makes them those of a later one. The
// columns' bytes stay as they are; they are decoded only to find where each ends. It
// holds a block at a time.
func transcodeNative(out io.Writer, in io.Reader, revision uint64) error {
	kept := &keepingReader{r: in}
	buffered := bufio.NewReaderSize(kept, nativeBufferBytes)
	blocks := nativeReader{kept: kept, buffered: buffered, r: chproto.NewReader(buffered)}
	for {
		block, err := blocks.next(revision)
		if errors.Is(err, io.EOF) && blocks.at() == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errShortNative
		}
		if err != nil {
			return err
		}
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
}

// keepingReader keeps what was read.
type keepingReader struct {
	r     io.Reader
	bytes []byte
}

func (k *keepingReader) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.bytes = append(k.bytes, p[:n]...)
	return n, err
}

type nativeReader struct {
	kept     *keepingReader
	buffered *bufio.Reader
	r        *chproto.Reader
	block    []byte
}

// at is how many of the kept bytes are decoded.
func (n *nativeReader) at() int { return len(n.kept.bytes) - n.buffered.Buffered() }

// next is the next block at a revision; its bytes are valid until the following one.
func (n *nativeReader) next(revision uint64) ([]byte, error) {
	columns, err := n.r.UVarInt()
	if err != nil {
		return nil, err
	}
	rows, err := n.r.UVarInt()
	if err != nil {
		return nil, err
	}
	if columns > maxNativeColumns {
		return nil, refuse(codeNotImplemented, "a block of %d columns cannot be given at a revision", columns)
	}
	n.block = append(append(n.block[:0], nativeBlockInfo...), n.kept.bytes[:n.at()]...)
	for range columns {
		start := n.at()
		name, err := n.r.Str()
		if err != nil {
			return nil, err
		}
		kind, err := n.r.Str()
		if err != nil {
			return nil, err
		}
		head := n.at()
		if err := n.skip(name, kind, int(rows)); err != nil {
			return nil, err
		}
		n.block = append(n.block, n.kept.bytes[start:head]...)
		if revision >= proto.DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION {
			n.block = append(n.block, 0)
		}
		n.block = append(n.block, n.kept.bytes[head:n.at()]...)
	}
	n.kept.bytes = append(n.kept.bytes[:0], n.kept.bytes[n.at():]...)
	return n.block, nil
}

// skip decodes one column.
func (n *nativeReader) skip(name, kind string, rows int) error {
	if rows == 0 {
		return nil
	}
	c, err := column.Type(kind).Column(name, &column.ServerContext{})
	if err != nil {
		return refuse(codeNotImplemented, "a column of the type %s cannot be given at a revision: leave client_protocol_version out", kind)
	}
	if state, ok := c.(column.CustomSerialization); ok {
		if err := state.ReadStatePrefix(n.r); err != nil {
			return fmt.Errorf("read a column's state: %w", err)
		}
	}
	if err := c.Decode(n.r, rows); err != nil {
		return fmt.Errorf("read a column: %w", err)
	}
	return nil
}
