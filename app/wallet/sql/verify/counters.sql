-- A limit counter is never below zero, nor below what holds alone made it count: all of an open
-- one, the captured part of a captured one. (What postings count is in the counter only.)
SELECT coalesce(l.account_id, h.account_id) AS subject,
       format('%s of %s: used %s, by holds %s', coalesce(l.name, h.name),
              coalesce(l.period, h.period), l.used, h.minor) AS detail
FROM limit_counters l
FULL JOIN (
    SELECT c.account_id, c.name, c.period,
           sum(c.amount_minor - CASE WHEN h.state = 'held' THEN 0 ELSE div(
               c.amount_minor::numeric * (h.amount_minor - h.captured_minor), h.amount_minor
           ) END) AS minor
    FROM hold_counts c JOIN holds h ON h.id = c.hold_id
    WHERE h.state IN ('held', 'captured')
    GROUP BY c.account_id, c.name, c.period
) AS h USING (account_id, name, period)
WHERE coalesce(l.used, 0) < coalesce(h.minor, 0) OR l.used < 0
