-- What is on its way is what the notices and payouts say: deposits that were neither cleared nor
-- cancelled, payouts that neither left the bank nor came back.
SELECT b.currency || ' ' || b.kind AS subject,
       format('%s in the books, %s by its rows', sum(b.minor), sum(b.rows)) AS detail
FROM (
    SELECT a.currency, a.kind::text,
           CASE a.kind WHEN 'deposits_in_transit' THEN -1 ELSE 1 END
           * (a.balance + coalesce((
               SELECT sum(p.amount_minor) FROM house_pending p WHERE p.account_id = a.id), 0)) AS minor,
           0 AS rows
    FROM accounts a
    WHERE a.kind IN ('deposits_in_transit', 'suspense:deposits', 'payouts_in_transit')
    UNION ALL
    SELECT n.currency, k.kind, 0, n.amount_minor
    FROM deposit_notices n
    CROSS JOIN (VALUES ('deposits_in_transit'), ('suspense:deposits')) AS k (kind)
    WHERE n.state = 'on_way'
    UNION ALL
    SELECT t.currency, 'payouts_in_transit', 0, t.amount_minor
    FROM transfers t
    WHERE t.kind IN ('float_payout', 'closing') AND t.reversed_at IS NULL AND NOT EXISTS (
        SELECT FROM bank_matches m
        WHERE m.transfer_id = t.id AND m.kind = 'payout' AND m.confirmed_at IS NOT NULL)
) AS b
GROUP BY b.currency, b.kind
HAVING sum(b.minor) <> sum(b.rows)
