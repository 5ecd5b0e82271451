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
    intDiv(toUnixTimestamp64Micro(dispatched_at) - toUnixTimestamp64Micro(due_at), 1000) AS queue_ms,
    intDiv(toUnixTimestamp64Micro(sent_at) - toUnixTimestamp64Micro(dispatched_at), 1000) AS submit_ms,
    intDiv(toUnixTimestamp64Micro(delivered_at) - toUnixTimestamp64Micro(sent_at), 1000) AS delivery_ms
FROM {table} FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
