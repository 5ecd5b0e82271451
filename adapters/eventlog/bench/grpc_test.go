package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"recapito/adapters/eventlog/esdbserver"
)

const contentType = "application/json"

// dial serves a log on the loopback interface and connects to it once.
func dial(b *testing.B) streams.StreamsClient {
	server, err := esdbserver.New(esdbserver.Options{Log: openLog(b, b.TempDir()), Addr: "127.0.0.1:0", Logger: silent})
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	conn, err := grpc.NewClient(server.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(conn.Close(), server.Close(ctx), <-served); err != nil {
			b.Error(err)
		}
	})
	return streams.NewStreamsClient(conn)
}

func identifier(stream string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(stream)}
}

func idOf(text string) *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: text}}
}

func metadata() map[string]string {
	return map[string]string{"type": eventType, "content-type": contentType}
}

// overAppend makes a call for every append.
func overAppend(b *testing.B, writers int) {
	client := dial(b)
	load(b, writers, func(int) work {
		return func(_ int64, in input) error {
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			defer cancel()
			call, err := client.Append(ctx)
			if err != nil {
				return err
			}
			o := &streams.AppendReq_Options{StreamIdentifier: identifier(in.stream)}
			if in.revision == 0 {
				o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
			} else {
				o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: uint64(in.revision - 1)}
			}
			if err := call.Send(&streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}}); err != nil {
				return err
			}
			if err := call.Send(&streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: &streams.AppendReq_ProposedMessage{
				Id: idOf(in.event.ID), Metadata: metadata(), Data: in.event.Data, CustomMetadata: in.event.Metadata,
			}}}); err != nil {
				return err
			}
			answer, err := call.CloseAndRecv()
			if err == nil && answer.GetSuccess() == nil {
				err = fmt.Errorf("not appended: %v", answer)
			}
			return err
		}
	})
}

// overBatchAppend sends the appends of all writers over one call, each waiting for its
// own answer.
func overBatchAppend(b *testing.B, writers int) {
	call, err := dial(b).BatchAppend(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	answers := make([]chan *streams.BatchAppendResp, writers)
	for w := range answers {
		answers[w] = make(chan *streams.BatchAppendResp, 1)
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			answer, err := call.Recv()
			if err != nil {
				return
			}
			id, err := uuid.Parse(answer.GetCorrelationId().GetString_())
			if err != nil {
				b.Error(err)
				return
			}
			answers[int(id[0])<<8|int(id[1])] <- answer
		}
	}()
	var sending sync.Mutex
	load(b, writers, func(w int) work {
		correlation := idOf(uuid.UUID{0: byte(w >> 8), 1: byte(w), 15: 1}.String())
		return func(_ int64, in input) error {
			o := &streams.BatchAppendReq_Options{StreamIdentifier: identifier(in.stream)}
			if in.revision == 0 {
				o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{}
			} else {
				o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(in.revision - 1)}
			}
			r := &streams.BatchAppendReq{CorrelationId: correlation, Options: o, IsFinal: true, ProposedMessages: []*streams.BatchAppendReq_ProposedMessage{{
				Id: idOf(in.event.ID), Metadata: metadata(), Data: in.event.Data, CustomMetadata: in.event.Metadata,
			}}}
			sending.Lock()
			err := call.Send(r)
			sending.Unlock()
			if err != nil {
				return err
			}
			select {
			case answer := <-answers[w]:
				if answer.GetSuccess() == nil {
					return fmt.Errorf("not appended: %v", answer)
				}
				return nil
			case <-received:
				return errors.New("the call ended")
			}
		}
	})
	if err := call.CloseSend(); err != nil {
		b.Error(err)
	}
	<-received
}
