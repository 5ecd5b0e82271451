package delivery_test

import (
	"errors"
	"testing"

	"recapito/commands/commandstest"
	"recapito/commands/delivery"

	"github.com/ThreeDotsLabs/watermill/message"
)

func newMessage(payload string) *message.Message { return message.NewMessage("id", []byte(payload)) }

// published is a publisher that keeps what it is given.
type published struct {
	topic    string
	messages []*message.Message
	err      error
}

func (p *published) Publish(topic string, messages ...*message.Message) error {
	p.topic, p.messages = topic, append(p.messages, messages...)
	return p.err
}

func (p *published) Close() error { return nil }

func TestDispatchMessages(t *testing.T) {
	for _, payload := range []string{"", "{", "{}", `{"tenant":"t","notification":"n"}`, `{"notification":"n","attempt":-1}`, `{"notification":7,"attempt":1}`, `[]`, "null"} {
		if _, err := delivery.ParseDispatch(newMessage(payload)); err == nil {
			t.Errorf("%q is taken for a dispatch message", payload)
		}
	}
	p := &published{}
	want := delivery.DispatchMessage{Tenant: "t", Notification: "n", Attempt: 3}
	if err := (delivery.Topics{Publisher: p}).Dispatch(t.Context(), want, "sms", "high"); err != nil {
		t.Fatal(err)
	}
	got, err := delivery.ParseDispatch(p.messages[0])
	if err != nil || got != want || p.topic != "recapito.dispatch.sms.high" || p.messages[0].Metadata.Get(delivery.PartitionKey) != "n" {
		t.Errorf("published %+v on %s, %v", got, p.topic, err)
	}
	p.err = commandstest.ErrAway
	if err := (delivery.Topics{Publisher: p}).Dispatch(t.Context(), want, "sms", "high"); !errors.Is(err, commandstest.ErrAway) {
		t.Errorf("a bus that is away: %v", err)
	}
}
