-- Partial rows, any number an attempt, merged so that neither order nor repetition
-- matters: times by min, outcome by max, everything else is the same in every row or
-- absent (empty, 0, NULL) and so takes max. day is the same in every row of an
-- attempt: rows of one key in two partitions would never merge.
--
-- outcome is (rank of the status, minus seq, status, code): the highest status, and of
-- the events that say it the first. Its elements have no names on purpose: a named
-- subcolumn (outcome.status) is read on its own and not merged by max, even with FINAL.
--
-- changed is one more than the seq of the last event merged in. The projection by_person
-- finds the keys of a person's attempts without a day; they are then read with FINAL.
-- They lie far apart, each in a granule of its own, so that granules are small: a person's
-- history is read in half the time, and the marks of 100 M attempts take 7 MB; and so are
-- the blocks that are unpacked for them. Each part that a person may be in costs about as
-- much as an attempt found in it: a month that nothing has come to for a day is made one part.
CREATE TABLE IF NOT EXISTS {table} (
    tenant         LowCardinality(String),
    day            Date,
    notification   String,
    attempt        UInt16,
    step           SimpleAggregateFunction(max, UInt16),
    target         SimpleAggregateFunction(max, UInt16),
    kind           SimpleAggregateFunction(max, LowCardinality(String)),
    follows        SimpleAggregateFunction(max, UInt16),
    channel        SimpleAggregateFunction(max, LowCardinality(String)),
    route          SimpleAggregateFunction(max, LowCardinality(String)),
    sender         SimpleAggregateFunction(max, LowCardinality(String)),
    scenario       SimpleAggregateFunction(max, LowCardinality(String)),
    version        SimpleAggregateFunction(max, LowCardinality(String)),
    brand          SimpleAggregateFunction(max, LowCardinality(String)),
    segment        SimpleAggregateFunction(max, LowCardinality(String)),
    campaign       SimpleAggregateFunction(max, LowCardinality(String)),
    priority       SimpleAggregateFunction(max, LowCardinality(String)),
    country        SimpleAggregateFunction(max, LowCardinality(String)),
    operator       SimpleAggregateFunction(max, LowCardinality(String)),
    person         SimpleAggregateFunction(max, String),
    units          SimpleAggregateFunction(max, UInt16),
    test           SimpleAggregateFunction(max, Bool),
    requested_at   SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    scheduled_at   SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    due_at         SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    dispatched_at  SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    unknown_at     SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    sent_at        SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    undelivered_at SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    delivered_at   SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    read_at        SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    withdrawn_at   SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    given_up_at    SimpleAggregateFunction(min, Nullable(DateTime64(6, 'UTC'))),
    outcome        SimpleAggregateFunction(max, Tuple(Int8, Int64, String, String)),
    changed        SimpleAggregateFunction(max, UInt64),
    INDEX changed_in changed TYPE minmax GRANULARITY 1,
    PROJECTION by_person (SELECT tenant, person, day, notification, attempt ORDER BY tenant, person, day, notification, attempt)
) ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, notification, attempt)
SETTINGS non_replicated_deduplication_window = 400, index_granularity = 1024, deduplicate_merge_projection_mode = 'rebuild',
    min_compress_block_size = 8192, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
