-- An order to a biller pays exactly what its days came to; it is paid by one line of exactly its
-- amount, and came back by one. A day that an order has taken comes to what the order says.
SELECT o.reference AS subject, format('orders %s, its days come to %s', o.amount_minor, sum(d.net_minor))
           AS detail
FROM settlement_orders o LEFT JOIN settlement_order_days d ON d.order_id = o.id
GROUP BY o.id
HAVING o.amount_minor IS DISTINCT FROM sum(d.net_minor)
UNION ALL
SELECT o.reference, format('%s; %s lines paid %s, %s brought back %s', o.state,
                           count(*) FILTER (WHERE m.kind = 'settlement'),
                           sum(-l.amount_minor) FILTER (WHERE m.kind = 'settlement'),
                           count(*) FILTER (WHERE m.kind = 'settlement_back'),
                           sum(l.amount_minor) FILTER (WHERE m.kind = 'settlement_back'))
FROM settlement_orders o
LEFT JOIN bank_matches m ON m.order_id = o.id AND m.confirmed_at IS NOT NULL
LEFT JOIN bank_lines l ON l.id = m.line_id
GROUP BY o.id
HAVING coalesce(sum(-l.amount_minor) FILTER (WHERE m.kind = 'settlement'), 0)
       <> CASE WHEN o.state IN ('paid', 'came_back') THEN o.amount_minor ELSE 0 END
    OR coalesce(sum(l.amount_minor) FILTER (WHERE m.kind = 'settlement_back'), 0)
       <> CASE WHEN o.state = 'came_back' THEN o.amount_minor ELSE 0 END
UNION ALL
SELECT o.reference || ' ' || d.day, format('ordered %s, the day came to %s', d.net_minor, n.minor)
FROM settlement_order_days d
JOIN settlement_orders o ON o.id = d.order_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.minor), 0)::bigint AS minor
    FROM (
        SELECT m.amount_minor AS minor, m.debit AS other FROM moves m
        WHERE m.credit = o.account_id AND m.credit_seq IS NULL
          AND m.posted_at >= d.starts_at AND m.posted_at < d.ends_at
        UNION ALL
        SELECT -m.amount_minor, m.credit FROM moves m
        WHERE m.debit = o.account_id AND m.debit_seq IS NULL
          AND m.posted_at >= d.starts_at AND m.posted_at < d.ends_at
    ) AS t
    JOIN accounts a ON a.id = t.other AND a.kind <> 'trust_bank'
) AS n
WHERE d.taken AND d.net_minor <> n.minor AND d.starts_at >= (
    SELECT coalesce(max(month) + interval '1 month', '-infinity') AT TIME ZONE 'UTC'
    FROM detached_months)
