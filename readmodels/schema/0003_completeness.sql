-- A tenant's reader sees until when the tables are complete, and not how many events of all
-- tenants there are.
CREATE OR REPLACE VIEW completeness AS
SELECT
    projection, complete_until,
    if(startsWith(getSetting('log_comment'), 'r|'), 0, t.seq) AS seq,
    if(startsWith(getSetting('log_comment'), 'r|'), 0, t.position) AS position,
    checked_at
FROM completeness_checks AS t FINAL;
