-- The partial rows as they lie there: for bounds, keys of a person and of what changed,
-- and counts of parts, not for reading.
CREATE OR REPLACE VIEW edr_parts AS SELECT * FROM {table};

-- One row an attempt, always. FINAL merges before any WHERE on what is not the key.
-- Prices come with tariffs: until then nothing is priced.
CREATE OR REPLACE VIEW edr AS
SELECT
    tenant, day, notification, attempt, step, target, kind, follows, {dimensions}, person, units,
    tupleElement(outcome, 3) AS status,
    tupleElement(outcome, 4) AS code,
    if(status IN ('undelivered', 'outcome_unknown', 'withdrawn') AND code != '', transform(code, {codes}, {texts}, {other}), '') AS error_text,
    requested_at, scheduled_at, due_at, dispatched_at, unknown_at, sent_at,
    undelivered_at, delivered_at, read_at, withdrawn_at, given_up_at,
    intDiv(toUnixTimestamp64Micro(dispatched_at) - toUnixTimestamp64Micro(due_at), 1000) AS queue_ms,
    intDiv(toUnixTimestamp64Micro(sent_at) - toUnixTimestamp64Micro(dispatched_at), 1000) AS submit_ms,
    intDiv(toUnixTimestamp64Micro(delivered_at) - toUnixTimestamp64Micro(sent_at), 1000) AS delivery_ms,
    CAST(NOT test AND (status IN ('sent', 'delivered', 'read') OR status = 'undelivered' AND sent_at IS NOT NULL) AS Bool) AS billable,
    CAST(NULL AS Nullable(Decimal(18, 6))) AS price_amount,
    '' AS price_currency,
    CAST(NULL AS Nullable(Decimal(18, 6))) AS cost_amount,
    '' AS cost_currency,
    '' AS tariff,
    {ordinal t.changed} AS changed
FROM {table} AS t FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
