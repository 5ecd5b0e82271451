package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GenerationTopic holds the id that the bus got when it was made.
const GenerationTopic = "recapito.generation"

const generationTimeout = 30 * time.Second

// Places in a partition, as ListOffsets names them.
const (
	earliest = -2
	latest   = -1
)

// Generation is the id of this bus, made with it: a bus that was wiped has another. created
// reports whether this call made it.
//
// The id is the first record of the compacted topic. Each record has a key of its
// own (its id), so that compaction never removes one, and if two processes write one at
// the same time both see the first.
func Generation(ctx context.Context, brokers []string) (id string, created bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, generationTimeout)
	defer cancel()
	client, err := newAdmin(brokers, kgo.DisableIdempotentWrite())
	if err != nil {
		return "", false, err
	}
	defer client.Close()
	topic := Topic{Name: GenerationTopic, Partitions: 1, Retention: -1, RetentionBytes: -1, Compact: true}
	if err := ensureTopics(ctx, client, []Topic{topic}); err != nil {
		return "", false, err
	}
	id, err = readGeneration(ctx, client, brokers)
	if err != nil || id != "" {
		return id, false, err
	}
	mine := uuid.NewString()
	record := &kgo.Record{Topic: GenerationTopic, Key: []byte(mine), Value: []byte(mine)}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return "", false, fmt.Errorf("write generation: %w", err)
	}
	id, err = readGeneration(ctx, client, brokers)
	if err == nil && id == "" {
		err = errors.New("read generation: the record just written is not there")
	}
	return id, id == mine, err
}

// readGeneration reads the first record; empty if there is none.
func readGeneration(ctx context.Context, client *kgo.Client, brokers []string) (string, error) {
	first, err := offset(ctx, client, earliest)
	if err != nil {
		return "", fmt.Errorf("read generation: %w", err)
	}
	end, err := offset(ctx, client, latest)
	if err != nil {
		return "", fmt.Errorf("read generation: %w", err)
	}
	if first >= end {
		return "", nil
	}
	reader, err := newAdmin(brokers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		GenerationTopic: {0: kgo.NewOffset().At(first)},
	}))
	if err != nil {
		return "", err
	}
	defer reader.Close()
	for {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return "", fmt.Errorf("read generation: %w", err)
		}
		for _, r := range fetches.Records() {
			return string(r.Value), nil
		}
	}
}

func offset(ctx context.Context, client *kgo.Client, at int64) (int64, error) {
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Timestamp = at
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = GenerationTopic
	topic.Partitions = append(topic.Partitions, partition)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("list offsets: a reply for another partition")
	}
	p := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	return p.Offset, nil
}
