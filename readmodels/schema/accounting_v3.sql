-- Sums of each batch by cell: what the events of the batch moved from one status to
-- another, -1 here and +1 there. One batch is written complete under its first seq, so
-- that a batch written again replaces itself. Partitions hold eight spans each, so that
-- readers, who need only the spans that are not summed up yet, look at no more.
CREATE TABLE IF NOT EXISTS {table} (
    tenant         LowCardinality(String),
    day            Date,
    channel        LowCardinality(String),
    scenario       LowCardinality(String),
    brand          LowCardinality(String),
    segment        LowCardinality(String),
    campaign       LowCardinality(String),
    route          LowCardinality(String),
    operator       LowCardinality(String),
    country        LowCardinality(String),
    test           Bool,
    status         LowCardinality(String),
    messages       Int64,
    units          Int64,
    billable       Int64,
    billable_units Int64,
    unpriced       Int64,
    first_seq      UInt64,
    last_seq       UInt64,
    first_position UInt64
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(first_seq, 8388608)
PRIMARY KEY (tenant, day)
ORDER BY (tenant, day, channel, scenario, brand, segment, campaign, route, operator, country, test, status, first_seq)
SETTINGS non_replicated_deduplication_window = 400;

-- Sums of complete spans, by cell.
CREATE TABLE IF NOT EXISTS {table}_spans (
    tenant         LowCardinality(String),
    day            Date,
    channel        LowCardinality(String),
    scenario       LowCardinality(String),
    brand          LowCardinality(String),
    segment        LowCardinality(String),
    campaign       LowCardinality(String),
    route          LowCardinality(String),
    operator       LowCardinality(String),
    country        LowCardinality(String),
    test           Bool,
    status         LowCardinality(String),
    messages       Int64,
    units          Int64,
    billable       Int64,
    billable_units Int64,
    unpriced       Int64,
    span           UInt64,
    run            UInt64
) ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
PRIMARY KEY (tenant, day)
ORDER BY (tenant, day, channel, scenario, brand, segment, campaign, route, operator, country, test, status, span);

-- The spans that {table}_spans holds complete, those before them too, and the runs that summed
-- them up.
CREATE TABLE IF NOT EXISTS {table}_complete (tenant LowCardinality(String) DEFAULT '*', span UInt64, run UInt64) ENGINE = ReplacingMergeTree ORDER BY (span, run);
