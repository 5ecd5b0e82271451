package cmd

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"recapito/adapters/smpp/sandbox"
	"recapito/cmd/config"
)

type smscCmd struct {
	Data          string        `help:"The folder under which the simulator keeps its journal (in smsc)." default:"./data" env:"RECAPITO_DATA" type:"path"`
	Addr          string        `help:"Address to listen on." default:"127.0.0.1:2775"`
	SystemID      string        `name:"system-id" help:"System id a bind must have (empty: any)."`
	Password      string        `help:"Password a bind must have." env:"RECAPITO_SMSC_PASSWORD"`
	Rate          float64       `help:"Messages a second; over it they are throttled (0: unlimited)."`
	Latency       time.Duration `help:"From a submit to its response." default:"10ms"`
	ReceiptDelay  time.Duration `name:"receipt-delay" help:"From the response to the receipt." default:"1s"`
	ReceiptSpread time.Duration `name:"receipt-spread" help:"Added to the receipt's delay, at most." default:"1s"`
	Undelivered   float64       `help:"Share of receipts with the status undelivered." default:"0"`
	Refuse        float64       `help:"Share of messages refused for good." default:"0"`
	RefuseNow     float64       `name:"refuse-transiently" help:"Share of messages refused for now." default:"0"`
	Throttle      float64       `help:"Share of messages refused as too many." default:"0"`
	LoseAnswer    float64       `name:"lose-answer" help:"Share of messages without a response." default:"0"`
	LoseReceipt   float64       `name:"lose-receipt" help:"Share of receipts never sent." default:"0"`
	Duplicate     float64       `name:"duplicate-receipt" help:"Share of receipts sent twice." default:"0"`
	ReceiptFirst  float64       `name:"receipt-first" help:"Share of receipts sent before the response." default:"0"`
	AnswerIDs     string        `name:"answer-ids" help:"Form of ids in responses." enum:"decimal,hex" default:"decimal"`
	ReceiptIDs    string        `name:"receipt-ids" help:"Form of ids in receipts." enum:"decimal,hex" default:"decimal"`
	Echo          bool          `help:"Echo our reference in receipts."`
	Seed          uint64        `help:"Seed of the verdicts." default:"1"`
	UntilStdin    bool          `name:"until-stdin-ends" hidden:"" help:"End when stdin does."`
}

// Run serves the simulator until it is stopped.
func (s smscCmd) Run(ctx context.Context, t terminal) error {
	log, err := config.ChildLogger(t.environ, t.err)
	if err != nil {
		return err
	}
	simulator, err := sandbox.New(sandbox.Options{
		Dir: filepath.Join(s.Data, "smsc"), Addr: s.Addr, SystemID: s.SystemID, Password: s.Password,
		Behaviour: sandbox.Behaviour{
			Rate: s.Rate, Latency: s.Latency, ReceiptDelay: s.ReceiptDelay, ReceiptSpread: s.ReceiptSpread,
			Mix: sandbox.Mix{
				RefusePermanently: s.Refuse, RefuseTransiently: s.RefuseNow, Throttle: s.Throttle, Undelivered: s.Undelivered, LoseAnswer: s.LoseAnswer,
				LoseReceipt: s.LoseReceipt, DuplicateReceipt: s.Duplicate, ReceiptFirst: s.ReceiptFirst,
			},
		},
		AnswerIDs: sandbox.IDForm(s.AnswerIDs), ReceiptIDs: sandbox.IDForm(s.ReceiptIDs), EchoReference: s.Echo, Seed: s.Seed, Logger: log,
	})
	if err != nil {
		return fmt.Errorf("starting the SMSC simulator: %w", err)
	}
	_, _ = fmt.Fprintln(t.out, simulator.Addr())
	if s.UntilStdin {
		signal.Ignore(os.Interrupt) // Ctrl-C is for the parent, which still drains over this simulator
		var end context.CancelFunc
		ctx, end = context.WithCancel(ctx)
		go func() {
			defer end()
			_, _ = io.Copy(io.Discard, t.in) // ends with the parent, however it died
		}()
	}
	return simulator.Run(ctx)
}
