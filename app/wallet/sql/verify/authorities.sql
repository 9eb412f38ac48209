-- Whatever takes from the house says what allows it, and that is written down once. An authority
-- 'posting:<id>' covers no more than that posting gave, 'case:<id>' is a case that was approved.
WITH since AS (
    SELECT coalesce(max(month) + interval '1 month', '-infinity') AT TIME ZONE 'UTC' AS time FROM detached_months
)
SELECT p.id::text AS subject, format('takes from the house by %L', p.authority) AS detail
FROM postings p
WHERE p.authority IS NULL AND EXISTS (
    SELECT FROM moves m JOIN accounts a ON a.house AND (
        a.id = m.debit OR (a.id = m.credit AND a.kind = 'trust_bank'))
    WHERE m.posting_id = p.id AND m.posted_at = p.posted_at)
UNION ALL
SELECT coalesce(g.authority, p.authority), format('spent on %s, used by %s', g.posting_id, p.id)
FROM (
    SELECT a.* FROM authorities a CROSS JOIN since
    WHERE recorded_at >= since.time AND NOT EXISTS (  -- a refund spends its capture's too
        SELECT FROM refunds r
        WHERE r.posting_id = a.posting_id AND a.authority = 'posting:' || r.capture_id)
) AS g
FULL JOIN (SELECT * FROM postings WHERE authority IS NOT NULL) AS p
     ON p.authority = g.authority AND p.id = g.posting_id
WHERE g.authority IS NULL OR p.id IS NULL
UNION ALL
SELECT p.id::text, format('took %s from house account %s by %s', sum(m.amount_minor), m.debit,
                          p.authority)
FROM postings p
JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
JOIN accounts a ON a.id = m.debit AND a.house
JOIN postings o ON o.id = substr(p.authority, length('posting:') + 1)::bigint
WHERE p.authority LIKE 'posting:%'
GROUP BY p.id, m.debit, p.authority
HAVING sum(m.amount_minor) > coalesce((
    SELECT sum(g.amount_minor) FROM moves g
    WHERE g.posting_id = substr(p.authority, length('posting:') + 1)::bigint AND g.credit = m.debit
), 0)
UNION ALL
SELECT p.id::text, format('takes from the house by %s, which nobody approved', p.authority)
FROM postings p
WHERE p.authority LIKE 'case:%' AND NOT EXISTS (
    SELECT FROM cases c WHERE 'case:' || c.id = p.authority AND c.state = 'approved')
