package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
)

// DispatchMessage is all that stands on a dispatch topic.
type DispatchMessage struct {
	Tenant       string `json:"tenant"`
	Notification string `json:"notification"`
	Attempt      int    `json:"attempt"`
}

// DispatchTopic names the topic of a channel and priority.
func DispatchTopic(channel, priority string) string {
	return "recapito.dispatch." + channel + "." + priority
}

// DispatchGroup names the consumer group of a channel's workers.
func DispatchGroup(channel string) string { return "recapito-dispatch-" + channel }

// PartitionKey is the metadata key whose value decides a message's partition.
const PartitionKey = "partition_key"

// Topics is the Queue over a Watermill publisher.
type Topics struct{ Publisher message.Publisher }

// Dispatch publishes the attempt, keyed by its notification.
func (t Topics) Dispatch(ctx context.Context, d DispatchMessage, channel, priority string) error {
	payload, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding a dispatch message: %w", err)
	}
	m := message.NewMessageWithContext(ctx, uuid.NewString(), payload)
	m.Metadata.Set(PartitionKey, d.Notification)
	if err := t.Publisher.Publish(DispatchTopic(channel, priority), m); err != nil {
		return fmt.Errorf("publishing to %s: %w", DispatchTopic(channel, priority), err)
	}
	return nil
}

// ErrNoDispatch: a message is not one that the process manager dispatched.
var ErrNoDispatch = errors.New("not a dispatch message")

// ParseDispatch reads a message off a dispatch topic.
func ParseDispatch(m *message.Message) (DispatchMessage, error) {
	var d DispatchMessage
	if err := json.Unmarshal(m.Payload, &d); err != nil {
		return d, fmt.Errorf("%w: %w", ErrNoDispatch, err)
	}
	if d.Notification == "" || d.Attempt < 1 {
		return d, fmt.Errorf("%w: it lacks its notification or attempt", ErrNoDispatch)
	}
	return d, nil
}
