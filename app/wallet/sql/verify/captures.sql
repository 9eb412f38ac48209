-- A captured hold has the posting that says so, which took exactly that much from its account; and
-- a posting that names a hold captured it.
SELECT coalesce(h.id, p.hold_id) AS subject,
       format('hold %s of %s by posting %s; posting %s took %s',
              h.state, h.captured_minor, h.posting_id, p.id, p.taken) AS detail
FROM (
    SELECT * FROM holds WHERE state = 'captured' AND closed_at >= (
        SELECT coalesce(max(month) + interval '1 month', '-infinity') AT TIME ZONE 'UTC' FROM detached_months)
) AS h
FULL JOIN (
    SELECT p.id, p.hold_id, sum(m.amount_minor) FILTER (WHERE m.debit = h.account_id) AS taken
    FROM postings p
    JOIN moves m ON m.posting_id = p.id AND m.posted_at = p.posted_at
    LEFT JOIN holds h ON h.id = p.hold_id
    WHERE p.hold_id IS NOT NULL
    GROUP BY p.id, p.hold_id
) AS p ON p.hold_id = h.id
WHERE h.posting_id IS DISTINCT FROM p.id OR h.captured_minor IS DISTINCT FROM p.taken
