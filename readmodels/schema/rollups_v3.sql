-- Counts of each batch by cell, as accounting_v1.sql does it. Every grain is counted by
-- itself, so that an hour is not read as 60 minutes.
--   basis 'event': by when something occurred; 'request': by when its notification was
--   requested, and then an attempt counts under the status that it has now.
CREATE TABLE IF NOT EXISTS {table} (
    tenant   LowCardinality(String),
    grain    Enum8('minute' = 1, 'hour' = 2, 'day' = 3),
    basis    Enum8('event' = 1, 'request' = 2),
    start    DateTime('UTC'),
    measure  LowCardinality(String),
    channel  LowCardinality(String),
    scenario LowCardinality(String),
    brand    LowCardinality(String),
    segment  LowCardinality(String),
    campaign LowCardinality(String),
    operator LowCardinality(String),
    country  LowCardinality(String),
    test     Bool,
    detail   LowCardinality(String),
    bucket   UInt16,
    n        Int64,
    first_seq      UInt64,
    last_seq       UInt64,
    first_position UInt64
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(first_seq, 8388608)
PRIMARY KEY (tenant, grain, basis, start)
ORDER BY (tenant, grain, basis, start, measure, channel, scenario, brand, segment, campaign, operator, country, test, detail, bucket, first_seq)
SETTINGS non_replicated_deduplication_window = 400;

-- Counts of complete spans, by cell.
CREATE TABLE IF NOT EXISTS {table}_spans (
    tenant   LowCardinality(String),
    grain    Enum8('minute' = 1, 'hour' = 2, 'day' = 3),
    basis    Enum8('event' = 1, 'request' = 2),
    start    DateTime('UTC'),
    measure  LowCardinality(String),
    channel  LowCardinality(String),
    scenario LowCardinality(String),
    brand    LowCardinality(String),
    segment  LowCardinality(String),
    campaign LowCardinality(String),
    operator LowCardinality(String),
    country  LowCardinality(String),
    test     Bool,
    detail   LowCardinality(String),
    bucket   UInt16,
    n        Int64,
    span     UInt64,
    run      UInt64
) ENGINE = MergeTree
PARTITION BY toYear(start)
PRIMARY KEY (tenant, grain, basis, start)
ORDER BY (tenant, grain, basis, start, measure, channel, scenario, brand, segment, campaign, operator, country, test, detail, bucket, span);

-- The spans that {table}_spans holds complete, those before them too, and the runs that summed
-- them up.
CREATE TABLE IF NOT EXISTS {table}_complete (tenant LowCardinality(String) DEFAULT '*', span UInt64, run UInt64) ENGINE = ReplacingMergeTree ORDER BY (span, run);
