-- The partial rows as they lie there: for the keys of what was changed or is a person's,
-- not for reading.
CREATE OR REPLACE VIEW notification_parts AS SELECT tenant, notification, person, changed FROM {table};

-- One row a notification, always. state and final are what the domain says
-- (docs/architecture.md "A notification"): reached is whether a step's wanted status was
-- reached, highest the highest status of an attempt of the current step, or of one that
-- reached what its step wants; of any if there is none and the wanted status was reached.
-- What {…} stands for is the domain's (domain_generated.go).
CREATE OR REPLACE VIEW notifications AS
WITH
    arrayExists((attempt, ladder) -> t.wanted[t.steps[attempt]] BETWEEN 1 AND ladder, mapKeys(ladders), mapValues(ladders)) AS reached,
    arrayMax(arrayMap(
        (attempt, status) -> if((t.steps[attempt] = t.step OR status = {rank_sent} AND t.wanted[t.steps[attempt]] = {ladder_sent}) AND status != {rank_withdrawn}, status, 0),
        arrayPushBack(mapKeys(statuses), 0), arrayPushBack(mapValues(statuses), 0))) AS of_step,
    if(of_step > 0 OR NOT reached, of_step,
        arrayMax(arrayMap(status -> if(status != {rank_withdrawn}, status, 0), arrayPushBack(mapValues(statuses), 0)))) AS highest
SELECT
    tenant, notification, tupleElement(t.scenario, 2) AS scenario, tupleElement(t.scenario, 3) AS version,
    {dimensions}, reference, person, CAST(t.fields, 'Map(String, String)') AS fields,
    multiIf(
        has(mapValues(statuses), {rank_read}), 'read',
        has(mapValues(statuses), {rank_delivered}), 'delivered',
        {ends},
        highest > 0, transform(highest, {ranks}, {statuses}, ''),
        step > 0, 'scheduled', enriched, 'enriched', 'requested') AS state,
    (reached OR {ended}) AND NOT hasAny(mapValues(statuses), {unfinished}) AS final,
    reached AS wanted_reached,
    step, planned AS steps, toUInt16(length(statuses)) AS attempts,
    toUInt16(arrayCount(kind -> kind = {kind_retry}, mapValues(kinds))) AS retries,
    toUInt16(arrayCount(kind -> kind = {kind_resend}, mapValues(kinds))) AS resends,
    toUInt16(length(failed_over)) AS failovers,
    requested_at, send_at, expires_at, enriched_at, first_sent_at, first_delivered_at, first_read_at, ended_at, last_event_at,
    tupleElement(t.channel, 3) AS channel, tupleElement(t.code, 2) AS code,
    toUInt16(length(t.replies)) AS replies, notEmpty(payments) AS paid, {ordinal t.changed} AS changed
FROM {table} AS t FINAL
SETTINGS optimize_move_to_prewhere_if_final = 0;
