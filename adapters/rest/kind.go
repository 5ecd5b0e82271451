package rest

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"recapito/commands/channel"
	"recapito/domain/address"
	"recapito/domain/content"
)

// Name is the channel's name in requests and scenarios.
const Name = "rest"

// maxSenderBytes bounds a sender.
const maxSenderBytes = 255

// Kind is the channel of custom HTTP services. An address is an id at the body's own
// systems.
var Kind = channel.Kind{
	Name:     Name,
	Doc:      "A call to an HTTP service of your own, with statuses and replies by callback.",
	Address:  address.User,
	Content:  content.REST,
	Sender:   checkSender,
	Settings: func() channel.Settings { return Defaults() },
	Codes:    channel.Codes{Version: codesVersion, Lookup: lookupCode, List: listCodes},
}

// checkSender accepts one line of printable characters.
func checkSender(sender string) error {
	if sender == "" || len(sender) > maxSenderBytes || strings.ContainsFunc(sender, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("must be one line of at most %d bytes", maxSenderBytes)
	}
	return nil
}

// Defaults returns the settings of a route that sets nothing.
func Defaults() *Settings {
	return &Settings{
		Method: "POST", MediaType: "application/json", Connections: 16,
		ConnectTimeout: 10 * time.Second, Timeout: 30 * time.Second,
		IdleTimeout: 4 * time.Second, DrainTimeout: 5 * time.Second, MaxResponseBytes: 64 << 10,
		TLS:       TLS{MinVersion: "1.2"},
		Signature: Signature{Tolerance: 5 * time.Minute},
		Callback: Callback{
			MaxBytes: 256 << 10, MaxItems: 1000, Concurrency: 64, Timeout: 10 * time.Second, TimeFormat: timeRFC3339,
			Auth: CallbackAuth{Signature: Signature{Tolerance: 5 * time.Minute}},
		},
	}
}

// problems are what is wrong with settings; each begins with its key.
type problems []error

func (p *problems) check(ok bool, key, rule string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf("%s: %s", key, fmt.Sprintf(rule, args...)))
	}
}

func (p *problems) add(key string, err error) {
	if err != nil {
		*p = append(*p, fmt.Errorf("%s: %w", key, err))
	}
}

func (p *problems) err() error { return errors.Join(*p...) }
