-- Whole spans, and the batches after them, as they lie there: to be added up. complete is
-- one value for both, so that a span that is being summed up is counted once.
CREATE OR REPLACE VIEW rollup_rows AS
WITH (SELECT if(count() = 0, 0, max(span) + 1) FROM {table}_complete) AS complete
SELECT tenant, grain, basis, start, measure, {dimensions}, detail, bucket, n FROM {table}_spans WHERE span < complete AND run IN (SELECT min(run) FROM {table}_complete GROUP BY span)
UNION ALL
SELECT tenant, grain, basis, start, measure, {dimensions}, detail, bucket, n FROM {table} FINAL WHERE first_seq >= complete * {size};

-- Everything that is counted, one row a cell, measure, detail and bucket.
CREATE OR REPLACE VIEW rollups AS
SELECT tenant, grain, basis, start, measure, {dimensions}, detail, bucket, sum(rollup_rows.n) AS n
FROM rollup_rows
GROUP BY tenant, grain, basis, start, measure, {dimensions}, detail, bucket
HAVING n != 0;

-- What occurred in each minute, one row a cell.
CREATE OR REPLACE VIEW rollup_minute AS
SELECT
    tenant, start, {dimensions},
    {measures}
FROM rollup_rows
WHERE grain = 'minute' AND basis = 'event'
GROUP BY tenant, start, {dimensions};

-- What occurred in each hour, one row a cell.
CREATE OR REPLACE VIEW rollup_hour AS
SELECT
    tenant, start, {dimensions},
    {measures}
FROM rollup_rows
WHERE grain = 'hour' AND basis = 'event'
GROUP BY tenant, start, {dimensions};

-- What occurred in each day, one row a cell.
CREATE OR REPLACE VIEW rollup_day AS
SELECT
    tenant, start, {dimensions},
    {measures}
FROM rollup_rows
WHERE grain = 'day' AND basis = 'event'
GROUP BY tenant, start, {dimensions};

-- What has become, by now, of what was requested in each hour: attempts by the status they have.
CREATE OR REPLACE VIEW rollup_cohort_hour AS
SELECT
    tenant, start, {dimensions},
    {measures}
FROM rollup_rows
WHERE grain = 'hour' AND basis = 'request'
GROUP BY tenant, start, {dimensions};

-- What has become, by now, of what was requested in each day: attempts by the status they have.
CREATE OR REPLACE VIEW rollup_cohort_day AS
SELECT
    tenant, start, {dimensions},
    {measures}
FROM rollup_rows
WHERE grain = 'day' AND basis = 'request'
GROUP BY tenant, start, {dimensions};

-- Failures by reason.
CREATE OR REPLACE VIEW rollup_failures AS
SELECT
    tenant, grain, start, {dimensions},
    measure AS failure, detail AS code,
    sum(rollup_rows.n) AS n
FROM rollup_rows
WHERE basis = 'event' AND measure IN ('undelivered', 'outcome_unknown', 'rejected', 'suppressed')
GROUP BY tenant, grain, start, {dimensions}, measure, detail, bucket
HAVING n != 0;

-- Failovers by what made them necessary.
CREATE OR REPLACE VIEW rollup_failovers AS
SELECT
    tenant, grain, start, {dimensions},
    detail AS reason,
    sum(rollup_rows.n) AS n
FROM rollup_rows
WHERE basis = 'event' AND measure = 'failed_over'
GROUP BY tenant, grain, start, {dimensions}, measure, detail, bucket
HAVING n != 0;

-- Latencies in logarithmic buckets of 1/8 octave: n of at least from_ms and below to_ms.
CREATE OR REPLACE VIEW rollup_latency AS
SELECT
    tenant, grain, start, {dimensions},
    measure AS latency, bucket,
    if(bucket < 8, bucket, bitShiftLeft(toUInt64(8 + bucket % 8), toUInt8(intDiv(bucket, 8) - 1))) AS from_ms,
    if(bucket < 8, bucket + 1, bitShiftLeft(toUInt64(9 + bucket % 8), toUInt8(intDiv(bucket, 8) - 1))) AS to_ms,
    sum(rollup_rows.n) AS n
FROM rollup_rows
WHERE basis = 'event' AND measure IN ('queue', 'accept', 'delivery', 'reading')
GROUP BY tenant, grain, start, {dimensions}, measure, detail, bucket
HAVING n != 0;

-- Rollups of the first {cut} ledger events, as far as complete batches go, to be added up.
-- The batch that the cut falls into is named by rollups_cut.
CREATE OR REPLACE VIEW rollups_as_of AS
WITH (SELECT if(count() = 0, 0, max(span) + 1) FROM {table}_complete) AS complete
SELECT tenant, grain, basis, start, measure, {dimensions}, detail, bucket, n FROM {table}_spans
WHERE span < least(complete, intDiv({cut:UInt64}, {size})) AND run IN (SELECT min(run) FROM {table}_complete GROUP BY span)
UNION ALL
SELECT tenant, grain, basis, start, measure, {dimensions}, detail, bucket, n FROM {table} FINAL
WHERE first_seq >= least(complete, intDiv({cut:UInt64}, {size})) * {size} AND last_seq < {cut:UInt64};

CREATE OR REPLACE VIEW rollups_cut AS
SELECT '{table}' AS built, count() > 0 AS some, max(first_seq) AS first, max(first_position) AS position
FROM {table}
WHERE first_seq >= intDiv({cut:UInt64}, {size}) * {size} AND first_seq < {cut:UInt64} AND last_seq >= {cut:UInt64};
