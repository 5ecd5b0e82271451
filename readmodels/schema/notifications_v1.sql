-- Partial rows, any number a notification, merged so that neither order nor repetition
-- matters. Not partitioned by time: not every event of a notification says when it was
-- requested, and rows of one key in two partitions would never merge.
--
-- What the state is made of is kept by attempt: the rank of the status that each has
-- (statuses), what it reached of sent, delivered and read = 1, 2, 3 (ladders), its step
-- and its kind (first, retry, resend = 1, 2, 3); and by step: what it wants (wanted).
-- Tuples have no names: see edr_v3.sql.
CREATE TABLE IF NOT EXISTS {table} (
    tenant             LowCardinality(String),
    notification       String,
    scenario           SimpleAggregateFunction(max, Tuple(UInt8, String, String)), -- 2: as enriched, 1: as requested
    brand              SimpleAggregateFunction(max, LowCardinality(String)),
    segment            SimpleAggregateFunction(max, LowCardinality(String)),
    campaign           SimpleAggregateFunction(max, LowCardinality(String)),
    reference          SimpleAggregateFunction(max, String),
    priority           SimpleAggregateFunction(max, LowCardinality(String)),
    person             SimpleAggregateFunction(max, String),
    test               SimpleAggregateFunction(max, Bool),
    fields             SimpleAggregateFunction(max, Array(Tuple(String, String))),
    requested_at       SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    send_at            SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    expires_at         SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    enriched_at        SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    first_sent_at      SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    first_delivered_at SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    first_read_at      SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    ended_at           SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    last_event_at      SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    planned            SimpleAggregateFunction(max, UInt16),
    step               SimpleAggregateFunction(max, UInt16),
    enriched           SimpleAggregateFunction(max, Bool),
    rejected           SimpleAggregateFunction(max, Bool),
    suppressed         SimpleAggregateFunction(max, Bool),
    cancelled          SimpleAggregateFunction(max, Bool),
    expired            SimpleAggregateFunction(max, Bool),
    exhausted          SimpleAggregateFunction(max, Bool),
    statuses           SimpleAggregateFunction(maxMap, Map(UInt16, UInt16)),
    ladders            SimpleAggregateFunction(maxMap, Map(UInt16, UInt16)),
    steps              SimpleAggregateFunction(maxMap, Map(UInt16, UInt16)),
    kinds              SimpleAggregateFunction(maxMap, Map(UInt16, UInt16)),
    wanted             SimpleAggregateFunction(maxMap, Map(UInt16, UInt16)),
    failed_over        SimpleAggregateFunction(groupUniqArrayArray, Array(UInt16)),
    replies            SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    payments           SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    channel            SimpleAggregateFunction(max, Tuple(UInt16, UInt16, String)), -- (what it reached, attempt, channel)
    code               SimpleAggregateFunction(max, Tuple(UInt64, String)),         -- (seq + 1, code) of the last failure
    changed            SimpleAggregateFunction(max, UInt64),
    INDEX changed_in changed TYPE minmax GRANULARITY 1,
    PROJECTION by_person (SELECT tenant, person, notification ORDER BY tenant, person, notification)
) ENGINE = AggregatingMergeTree
ORDER BY (tenant, notification)
SETTINGS non_replicated_deduplication_window = 400, index_granularity = 1024, deduplicate_merge_projection_mode = 'rebuild';
