-- Every call of the API, one row: those that an event of their own tells of and those
-- that were recorded. Rows of one call are equal, so it does not matter which of them
-- replaces the other.
CREATE TABLE IF NOT EXISTS {table} (
    tenant       LowCardinality(String),
    at           DateTime64(6, 'UTC'),
    id           String,
    seq          UInt64,
    actor        LowCardinality(String),
    operation    LowCardinality(String),
    method       LowCardinality(String),
    path         LowCardinality(String),
    status       UInt16,
    code         LowCardinality(String),
    notification String,
    target       String,
    correlation  String,
    traceparent  String,
    via          LowCardinality(String),
    duration_ms  Nullable(UInt32)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(at)
ORDER BY (tenant, at, id)
SETTINGS non_replicated_deduplication_window = 400;
