-- The partial rows as they lie there: for bounds and counts of parts, not for reading.
CREATE OR REPLACE VIEW edr_parts AS SELECT * FROM {table};

-- One row an attempt, always. FINAL merges before any WHERE on what is not the key.
CREATE OR REPLACE VIEW edr AS
SELECT
    tenant, day, notification, attempt, step, target, kind, follows, channel, route,
    sender, scenario, version, priority, country, operator, person, parts, test,
    tupleElement(outcome, 3) AS status,
    tupleElement(outcome, 4) AS code,
    requested_at, scheduled_at, due_at, dispatched_at, unknown_at, sent_at,
    undelivered_at, delivered_at, read_at, withdrawn_at, given_up_at,
    dateDiff('millisecond', due_at, dispatched_at) AS queue_ms,
    dateDiff('millisecond', dispatched_at, sent_at) AS submit_ms,
    dateDiff('millisecond', sent_at, delivered_at) AS delivery_ms
FROM {table} FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
