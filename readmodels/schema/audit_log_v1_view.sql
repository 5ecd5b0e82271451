CREATE OR REPLACE VIEW audit_log AS
SELECT
    tenant, at, id, {ordinal t.seq} AS seq, actor, operation, method, path, status, code, notification, target, correlation, traceparent, via, duration_ms
FROM {table} AS t FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
