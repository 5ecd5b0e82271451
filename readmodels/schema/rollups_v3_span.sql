INSERT INTO {table}_spans
SELECT
    tenant, grain, basis, start, measure, channel, scenario, brand, segment, campaign, operator, country, test, detail, bucket,
    sum(n) AS n, {span} AS span, {run} AS run
FROM {table} FINAL
WHERE first_seq >= {span} * {size} AND first_seq < ({span} + 1) * {size}
GROUP BY tenant, grain, basis, start, measure, channel, scenario, brand, segment, campaign, operator, country, test, detail, bucket
HAVING n != 0
SETTINGS max_partitions_per_insert_block = 0;

INSERT INTO {table}_complete (span, run) VALUES ({span}, {run});
