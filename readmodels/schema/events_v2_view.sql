CREATE OR REPLACE VIEW events AS
SELECT
    tenant, stream, revision, {ordinal t.position} AS position, {ordinal t.seq} AS seq, type, id, actor, correlation, causation,
    traceparent, occurred_at, recorded_at, test, data, metadata
FROM {table} AS t FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
