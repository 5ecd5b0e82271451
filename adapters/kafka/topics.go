package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recapito/commands/retry"
)

// Partitions of a work topic. One handler runs at a time for each partition, so this
// is also how many messages of one topic are in hand at once.
const Partitions = 12

// Limits of what a topic keeps. The embedded broker reads all of it at start, so the
// sizes bound the time a restart takes; a backlog beyond them is lost from the bus and
// dispatched again by the watchdogs.
const (
	workRetention      = 24 * time.Hour
	workRetentionBytes = 32 << 20 // bytes a partition; 100,000 dispatch messages or more
	deadRetention      = 30 * 24 * time.Hour
	deadRetentionBytes = 64 << 20
	segmentBytes       = 4 << 20 // space is given back a segment at a time
)

// Limits of administration.
const (
	topicCreateTimeout = 15 * time.Second
	dialTimeout        = 5 * time.Second
)

// Topic is a topic to make. Its settings are applied only when it is made: a topic that
// is there stays as its owner has set it.
type Topic struct {
	Name           string
	Partitions     int32
	Retention      time.Duration // negative: for ever
	RetentionBytes int64         // a partition; negative: no limit
	Compact        bool          // keep the last record of each key, whatever its age
}

// WorkTopic is a topic whose messages are consumed soon after they are published.
func WorkTopic(name string) Topic {
	return Topic{Name: name, Partitions: Partitions, Retention: workRetention, RetentionBytes: workRetentionBytes}
}

// DeadTopic is the dead-letter topic that belongs to the named topic.
func DeadTopic(name string) Topic {
	return Topic{Name: DeadTopicName(name), Partitions: 1, Retention: deadRetention, RetentionBytes: deadRetentionBytes}
}

// DeadTopicName is the name of the dead-letter topic of a topic.
func DeadTopicName(topic string) string { return topic + ".dead" }

func (t Topic) configs() map[string]string {
	retention := int64(-1)
	if t.Retention >= 0 {
		retention = t.Retention.Milliseconds()
	}
	size := int64(-1)
	if t.RetentionBytes >= 0 {
		size = t.RetentionBytes
	}
	policy := "delete"
	if t.Compact {
		policy = "compact"
	}
	return map[string]string{
		"cleanup.policy":  policy,
		"retention.ms":    strconv.FormatInt(retention, 10),
		"retention.bytes": strconv.FormatInt(size, 10),
		"segment.bytes":   strconv.Itoa(segmentBytes),
	}
}

// EnsureTopics makes the topics that are missing and returns when every partition of
// all of them has a leader. Replication is the cluster's default.
func EnsureTopics(ctx context.Context, brokers []string, topics ...Topic) error {
	client, err := newAdmin(brokers)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, topicCreateTimeout)
	defer cancel()
	return ensureTopics(ctx, client, topics)
}

// MissingTopic names one of the topics that is not there, or is without a leader; it is
// empty if none is.
func MissingTopic(ctx context.Context, brokers []string, topics ...Topic) (string, error) {
	client, err := newAdmin(brokers)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, topicCreateTimeout)
	defer cancel()
	missing, err := withoutLeader(ctx, client, topics)
	if err != nil {
		return "", fmt.Errorf("look up topics: %w", err)
	}
	return missing, nil
}

func newAdmin(brokers []string, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID(clientID),
		kgo.DialTimeout(dialTimeout),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	return client, nil
}

func ensureTopics(ctx context.Context, client *kgo.Client, topics []Topic) error {
	if len(topics) == 0 {
		return nil
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(topicCreateTimeout.Milliseconds())
	for _, t := range topics {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic = t.Name
		rt.NumPartitions = t.Partitions
		rt.ReplicationFactor = -1 // the cluster's default
		for name, value := range t.configs() {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, kmsg.StringPtr(value)
			rt.Configs = append(rt.Configs, c)
		}
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	var failed []error
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			failed = append(failed, fmt.Errorf("create topic %s: %w", t.Topic, err))
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return awaitLeaders(ctx, client, topics)
}

// awaitLeaders waits until the topics can be used: a cluster acknowledges a creation before
// all its brokers know of it.
func awaitLeaders(ctx context.Context, client *kgo.Client, topics []Topic) error {
	return polling.Do(ctx, nil, func(ctx context.Context) error {
		missing, err := withoutLeader(ctx, client, topics)
		switch {
		case err != nil:
			return retry.Permanent(fmt.Errorf("look up topics: %w", err))
		case missing != "":
			return fmt.Errorf("topic %s has no leader", missing)
		}
		return nil
	})
}

// withoutLeader names one topic that is not ready, or is empty.
func withoutLeader(ctx context.Context, client *kgo.Client, topics []Topic) (string, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t.Name)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return "", err
	}
	ready := make(map[string]bool, len(resp.Topics))
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		ok := t.ErrorCode == 0 && len(t.Partitions) > 0
		for _, p := range t.Partitions {
			ok = ok && p.ErrorCode == 0 && p.Leader >= 0
		}
		ready[*t.Topic] = ok
	}
	for _, t := range topics {
		if !ready[t.Name] {
			return t.Name, nil
		}
	}
	return "", nil
}
