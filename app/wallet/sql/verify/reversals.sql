-- One reversal an original: the link on the original's key, the reversal's authority and the
-- posting itself say the same, and each original has one.
SELECT coalesce(k.original, r.original) AS subject,
       format('its key says reversed by %s, reversals are %s', k.reversed_by, r.reversals) AS detail
FROM (
    SELECT posting_id AS original, reversed_by FROM posting_keys WHERE reversed_by IS NOT NULL
) AS k
FULL JOIN (
    SELECT substr(authority, length('posting:') + 1)::bigint AS original,
           array_agg(id) AS reversals
    FROM postings WHERE kind = 'reversal' AND authority LIKE 'posting:%'
    GROUP BY authority
    UNION ALL
    SELECT capture_id, ARRAY[posting_id] FROM refunds
) AS r USING (original)
WHERE r.reversals IS DISTINCT FROM ARRAY[k.reversed_by] AND (
    r.reversals IS NOT NULL OR EXISTS (SELECT FROM postings p WHERE p.id = k.original))
