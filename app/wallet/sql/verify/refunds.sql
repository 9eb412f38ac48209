-- A refund is its capture turned round, the amount out of suspense instead of from the biller; and a
-- payment says so exactly when there is one.
SELECT r.case_id AS subject,
       format('%s of posting %s, from %s to %s, is not given back by posting %s',
              m.amount_minor, r.capture_id, m.debit, h.kind, r.posting_id) AS detail
FROM refunds r
JOIN moves m ON m.posting_id = r.capture_id
JOIN accounts h ON h.id = m.credit
WHERE NOT EXISTS (
    SELECT FROM moves g JOIN accounts d ON d.id = g.debit
    WHERE g.posting_id = r.posting_id AND g.credit = m.debit AND g.amount_minor = m.amount_minor
      AND d.kind = CASE WHEN h.kind LIKE 'settlement:%' THEN 'suspense:returned' ELSE h.kind END)
UNION ALL
SELECT r.case_id, format('posting %s gives back more than posting %s took', r.posting_id, r.capture_id)
FROM refunds r JOIN moves m ON m.posting_id IN (r.capture_id, r.posting_id)
GROUP BY r.case_id, r.posting_id, r.capture_id
HAVING sum(m.amount_minor) FILTER (WHERE m.posting_id = r.posting_id)
     > sum(m.amount_minor) FILTER (WHERE m.posting_id = r.capture_id)
UNION ALL
SELECT coalesce(p.id, r.case_id), format('the payment says %s, the refund is of posting %s',
                                         coalesce(p.refunded_at::text, 'nothing'), r.capture_id)
FROM (
    SELECT p.id, p.refunded_at, h.posting_id
    FROM payments p JOIN holds h ON h.id = p.hold_id WHERE p.refunded_at IS NOT NULL
) AS p
FULL JOIN refunds r ON r.capture_id = p.posting_id
WHERE p.id IS NULL OR r.posting_id IS NULL
