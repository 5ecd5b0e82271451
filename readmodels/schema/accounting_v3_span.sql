INSERT INTO {table}_spans
SELECT
    tenant, day, channel, scenario, brand, segment, campaign, route, operator, country, test, status,
    sum(messages) AS messages, sum(units) AS units, sum(billable) AS billable, sum(billable_units) AS billable_units,
    sum(unpriced) AS unpriced, {span} AS span, {run} AS run
FROM {table} FINAL
WHERE first_seq >= {span} * {size} AND first_seq < ({span} + 1) * {size}
GROUP BY tenant, day, channel, scenario, brand, segment, campaign, route, operator, country, test, status
HAVING (messages, units, billable, billable_units, unpriced) != (0, 0, 0, 0, 0)
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO {table}_complete (span, run) VALUES ({span}, {run});
