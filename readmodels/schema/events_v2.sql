-- Every ledger event, one row. Personal values in data are ciphertext. Rows of one
-- event are equal, so it does not matter which of them replaces the other. Ciphertext
-- packs no better at a higher level. A month that nothing has come to for a day is made one
-- part, which streams are found in faster. Granules are small: streams named by an
-- idempotency key lie far apart, and what was known of one is read from a granule.
CREATE TABLE IF NOT EXISTS {table} (
    tenant      LowCardinality(String),
    stream      String,
    revision    UInt64,
    position    UInt64,
    seq         UInt64,
    type        LowCardinality(String),
    id          String,
    actor       String,
    correlation String,
    causation   String,
    traceparent String,
    occurred_at DateTime64(6, 'UTC'),
    recorded_at DateTime64(6, 'UTC'),
    test        Bool,
    data        String CODEC(ZSTD(1)),
    metadata    String CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(recorded_at)
ORDER BY (tenant, stream, revision)
SETTINGS non_replicated_deduplication_window = 400, index_granularity = 1024,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;
