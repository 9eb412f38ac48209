-- Keys and postings are one to one; a key with neither posting nor refusal is a hold, and every
-- hold has one. Postings of detached months are not asked for.
WITH since AS (
    SELECT coalesce(max(month) + interval '1 month', '-infinity') AT TIME ZONE 'UTC' AS time FROM detached_months
)
SELECT coalesce(k.key, p.key) AS subject,
       format('key of posting %s, posting %s', k.posting_id, p.id) AS detail
FROM (
    SELECT key, posting_id FROM posting_keys, since
    WHERE posting_id IS NOT NULL AND recorded_at >= since.time
) AS k
FULL JOIN postings p ON p.key = k.key AND p.id = k.posting_id
WHERE k.key IS NULL OR p.key IS NULL
UNION ALL
SELECT p.key, format('%s postings with this key', count(*))
FROM postings p GROUP BY p.key HAVING count(*) > 1
UNION ALL
SELECT key, format('posting %s and refused %s', posting_id, refusal)
FROM posting_keys WHERE posting_id IS NOT NULL AND refusal IS NOT NULL
UNION ALL
SELECT coalesce(k.key, h.id), 'a key without its hold, or a hold without its key'
FROM (SELECT key FROM posting_keys WHERE posting_id IS NULL AND refusal IS NULL) AS k
FULL JOIN holds h ON h.id = k.key
WHERE k.key IS NULL OR h.id IS NULL
