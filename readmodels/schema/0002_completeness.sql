-- How far each projection was seen to be, some seconds ago. It says nothing of any
-- tenant: every reader may see it. The server stamps the rows, so that of two instances
-- that wrote the later one holds.
CREATE TABLE IF NOT EXISTS completeness_checks (
    `projection`   LowCardinality(String),
    complete_until DateTime64(6, 'UTC'),
    seq            UInt64,
    position       UInt64,
    checked_at     DateTime64(6, 'UTC') DEFAULT now64(6)
) ENGINE = ReplacingMergeTree(checked_at) ORDER BY projection;

CREATE VIEW IF NOT EXISTS completeness AS
SELECT projection, complete_until, seq, position, checked_at FROM completeness_checks FINAL;
