-- What agents earned is what postings gave for them, and what they were paid is what they earned:
-- the house account `commission` holds the funded part of what was accrued less that of what was
-- paid out; a payout is the sum of the accruals that it marked; a paid one reached the agent's
-- float; and a posting that gave to `commission`, or took back, accrued just that.
WITH since AS (
    SELECT coalesce(max(month) + interval '1 month', '-infinity') AT TIME ZONE 'UTC' AS time FROM detached_months
)
SELECT t.currency AS subject,
       format('commission holds %s, accrued less paid is %s', sum(t.held), sum(t.due)) AS detail
FROM (
    SELECT currency::text, balance AS held, 0 AS due FROM accounts WHERE kind = 'commission'
    UNION ALL
    SELECT a.currency, p.amount_minor, 0
    FROM house_pending p JOIN accounts a ON a.id = p.account_id AND a.kind = 'commission'
    UNION ALL
    SELECT f.currency, 0, c.funded_minor
    FROM commission_accruals c JOIN agents g ON g.id = c.agent_id JOIN accounts f ON f.id = g.float_id
    UNION ALL
    SELECT f.currency, 0, -o.funded_minor
    FROM commission_payouts o JOIN accounts f ON f.id = o.float_id
    WHERE o.posting_id IS NOT NULL
) AS t
GROUP BY t.currency
HAVING sum(t.held) <> sum(t.due)
UNION ALL
SELECT coalesce(o.id, c.payout_id)::text,
       format('payout of %s and %s to %s; marked are %s and %s of %s',
              o.funded_minor, o.owed_minor, o.agent_id, c.funded, c.owed, c.agents)
FROM commission_payouts o
FULL JOIN (
    SELECT payout_id, sum(funded_minor) AS funded, sum(amount_minor - funded_minor) AS owed,
           array_agg(DISTINCT agent_id) AS agents
    FROM commission_accruals WHERE payout_id IS NOT NULL GROUP BY payout_id
) AS c ON c.payout_id = o.id
WHERE (o.funded_minor, o.owed_minor, ARRAY[o.agent_id])
      IS DISTINCT FROM (c.funded, c.owed, c.agents)
UNION ALL
SELECT o.id::text, format('posting %s gave %s of %s to float %s', o.posting_id, m.got,
                          o.funded_minor + o.owed_minor, o.float_id)
FROM commission_payouts o CROSS JOIN since CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE WHEN credit = o.float_id THEN amount_minor
                             WHEN debit = o.float_id THEN -amount_minor END), 0) AS got
    FROM moves WHERE posting_id = o.posting_id
) AS m
WHERE o.snapshot_at >= since.time AND m.got <> CASE
    WHEN o.posting_id IS NULL THEN 0 ELSE o.funded_minor + o.owed_minor END
UNION ALL
SELECT coalesce(c.posting_id, m.posting_id)::text,
       format('gave %s to commission, accrued %s of it', m.gave, c.funded)
FROM (
    SELECT posting_id, sum(funded_minor) AS funded FROM commission_accruals, since
    WHERE accrued_at >= since.time GROUP BY posting_id HAVING sum(funded_minor) <> 0
) AS c
FULL JOIN (
    SELECT m.posting_id, sum(CASE WHEN m.credit = a.id THEN m.amount_minor
                                  ELSE -m.amount_minor END) AS gave
    FROM accounts a JOIN moves m ON a.id IN (m.credit, m.debit)
    WHERE a.kind = 'commission'
      AND NOT EXISTS (SELECT FROM commission_payouts o WHERE o.posting_id = m.posting_id)
    GROUP BY m.posting_id
) AS m ON m.posting_id = c.posting_id
WHERE c.funded IS DISTINCT FROM m.gave
