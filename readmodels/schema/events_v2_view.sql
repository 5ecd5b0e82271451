CREATE OR REPLACE VIEW events AS
SELECT
    tenant, stream, revision, position, seq, type, id, actor, correlation, causation,
    traceparent, occurred_at, recorded_at, test, data, metadata
FROM {table} FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
