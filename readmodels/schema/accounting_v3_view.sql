-- Whole spans, and the batches after them. complete is one value for both, so that a span
-- that is being summed up is counted once.
CREATE OR REPLACE VIEW accounting AS
WITH (SELECT if(count() = 0, 0, max(span) + 1) FROM {table}_complete) AS complete
SELECT
    tenant, day, {dimensions}, status,
    sum(n_messages) AS messages, sum(n_units) AS units, sum(n_billable) AS billable,
    sum(n_billable_units) AS billable_units, sum(n_unpriced) AS unpriced
FROM (
    SELECT
        tenant, day, {dimensions}, status,
        messages AS n_messages, units AS n_units, billable AS n_billable, billable_units AS n_billable_units, unpriced AS n_unpriced
    FROM {table}_spans
    WHERE span < complete AND run IN (SELECT min(run) FROM {table}_complete GROUP BY span)
    UNION ALL
    SELECT
        tenant, day, {dimensions}, status,
        messages, units, billable, billable_units, unpriced
    FROM {table} FINAL
    WHERE first_seq >= complete * {size}
)
GROUP BY tenant, day, {dimensions}, status
HAVING (messages, units, billable, billable_units, unpriced) != (0, 0, 0, 0, 0)
SETTINGS do_not_merge_across_partitions_select_final = 1;

-- The same of the first {cut} ledger events, as far as complete batches go. The batch that
-- the cut falls into is named by accounting_cut.
CREATE OR REPLACE VIEW accounting_as_of AS
WITH (SELECT if(count() = 0, 0, max(span) + 1) FROM {table}_complete) AS complete
SELECT
    tenant, day, {dimensions}, status,
    messages, units, billable, billable_units, unpriced
FROM {table}_spans
WHERE span < least(complete, intDiv({cut:UInt64}, {size})) AND run IN (SELECT min(run) FROM {table}_complete GROUP BY span)
UNION ALL
SELECT
    tenant, day, {dimensions}, status,
    messages, units, billable, billable_units, unpriced
FROM {table} FINAL
WHERE first_seq >= least(complete, intDiv({cut:UInt64}, {size})) * {size} AND last_seq < {cut:UInt64};

CREATE OR REPLACE VIEW accounting_cut AS
SELECT '{table}' AS built, count() > 0 AS some, max(first_seq) AS first, max(first_position) AS position
FROM {table}
WHERE first_seq >= intDiv({cut:UInt64}, {size}) * {size} AND first_seq < {cut:UInt64} AND last_seq >= {cut:UInt64};
