package smpp

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"

	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
	"recapito/domain/receipt"
)

// Kind is the channel sms: short messages over SMPP 3.4.
var Kind = channel.Kind{
	Name: "sms", Doc: "Short messages over SMPP 3.4: concatenated segments, delivery receipts.",
	Address: address.Phone, Content: content.SMS, Sender: checkSender, Check: checkContent,
	Settings: func() channel.Settings { return &Settings{IDForm: receipt.Text} },
	Codes:    codes,
}

// maxSender leaves a NUL in the 21 octets of source_addr (SMPP 3.4, 5.2.8).
const maxSender = 20

var validSender = regexp.MustCompile(`^[A-Za-z0-9 +&._-]+$`)

func checkSender(sender string) error {
	if !validSender.MatchString(sender) || len(sender) > maxSender {
		return fmt.Errorf("must be letters, digits, blanks and any of + & . _ -, and have at most %d characters (got %d)", maxSender, len(sender))
	}
	return nil
}

func checkContent(d content.Document) error {
	if _, err := split(d.Member("text")); err != nil {
		return &content.MemberError{Member: "text", Rule: err.Error()}
	}
	return nil
}

// Settings are the settings of an SMPP route.
type Settings struct {
	Addr            string       `yaml:"addr" doc:"host:port of the SMSC; required"`
	SystemID        string       `yaml:"system_id" doc:"the account's name in the bind, at most 15 octets"`
	Password        string       `yaml:"password" doc:"the account's password in the bind, at most 8 octets"`
	Binds           int          `yaml:"binds" doc:"sessions held at a time, 1 to 64; 1 if left out"`
	Window          int          `yaml:"window" doc:"segments of a session that may wait for their answer; 64 if left out"`
	IDForm          receipt.Form `yaml:"id_form" doc:"how the provider writes message ids: text, hex, decimal or either; text if left out"`
	EchoesReference bool         `yaml:"echoes_reference" doc:"whether the provider returns our vendor parameters with its receipts"`
}

// Form is how the provider writes message ids.
func (s *Settings) Form() receipt.Form { return s.IDForm }

// Validate implements channel.Settings.
func (s *Settings) Validate() error {
	var problems []error
	problem := func(key, rule string) { problems = append(problems, errors.New(key+": "+rule)) }
	if _, port, err := net.SplitHostPort(s.Addr); err != nil {
		problem("addr", "is required, host:port")
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		problem("addr", "is required, host:port")
	}
	if s.Binds < 0 || s.Binds > maxBinds {
		problem("binds", fmt.Sprintf("must be 1 to %d", maxBinds))
	}
	if s.Window < 0 || s.Window > maxWindow {
		problem("window", fmt.Sprintf("must be 1 to %d", maxWindow))
	}
	if len(s.SystemID) > maxSystemID {
		problem("system_id", fmt.Sprintf("must have at most %d octets", maxSystemID))
	}
	if len(s.Password) > maxPassword {
		problem("password", fmt.Sprintf("must have at most %d octets", maxPassword))
	}
	switch s.IDForm {
	case receipt.Text, receipt.Hex, receipt.Decimal, receipt.Either:
	default:
		problem("id_form", "must be text, hex, decimal or either")
	}
	return errors.Join(problems...)
}

// Open implements channel.Settings.
func (s *Settings) Open(o channel.Options) (channel.Route, error) {
	return NewRoute(RouteOptions{
		Name: o.Name, Addr: s.Addr, SystemID: s.SystemID, Password: s.Password, Binds: s.Binds, Window: s.Window,
		SendReference: s.EchoesReference, Sink: o.Receipts, Logger: o.Log, Now: o.Now,
	})
}
