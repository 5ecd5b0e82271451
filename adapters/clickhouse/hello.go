//go:build linux || darwin

package clickhouse

import (
	"bytes"
	"fmt"
	"strings"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// hello is what clickhouse-go asks first on a connection, to learn the
// revision at which blocks are encoded from then on.
const hello = "SELECT displayName(), version(), revision(), timezone()"

func isHello(q *request) bool {
	return !q.isInsert && bytes.Equal(bytes.TrimSpace(q.text), []byte(hello))
}

// answerHello sends revision 0, in a block at the revision asked for. The
// engine gives its blocks at revision 0, so nothing need be transcoded.
func (f *front) answerHello(q *request, out *response) error {
	if !strings.EqualFold(q.format, "Native") {
		_, err := fmt.Fprintf(out, "%s\t%s\t0\t%s\n", f.engine.name, f.engine.version, f.engine.timezone)
		if err != nil {
			return err
		}
		return out.finish(result{rows: 1}, 0)
	}
	block := proto.NewBlock()
	for _, c := range []struct {
		name, kind string
	}{{"displayName()", "String"}, {"version()", "String"}, {"revision()", "UInt32"}, {"timezone()", "String"}} {
		if err := block.AddColumn(c.name, column.Type(c.kind)); err != nil {
			return fmt.Errorf("make the hello's block: %w", err)
		}
	}
	if err := block.Append(f.engine.name, f.engine.version, uint32(0), f.engine.timezone); err != nil {
		return fmt.Errorf("fill the hello's block: %w", err)
	}
	var buffer chproto.Buffer
	if err := block.Encode(&buffer, q.revision); err != nil {
		return fmt.Errorf("encode the hello's block: %w", err)
	}
	out.format = "Native"
	if _, err := out.Write(buffer.Buf); err != nil {
		return err
	}
	return out.finish(result{rows: 1}, 0)
}
