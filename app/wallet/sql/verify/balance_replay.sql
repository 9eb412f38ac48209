-- An account's balance is what its moves say: of the house, snapshot and pending together. The
-- replay begins at the opening balance that detached months left.
SELECT a.id AS subject,
       format('%s: balance %s, replay %s; seq %s, replay %s', a.kind, a.balance + coalesce(p.pending, 0),
              coalesce(r.balance, 0), a.seq, coalesce(r.sides, 0)) AS detail
FROM accounts a
LEFT JOIN (
    SELECT account_id, sum(amount_minor) AS pending FROM house_pending GROUP BY account_id
) AS p ON p.account_id = a.id
LEFT JOIN (
    SELECT account_id, sum(minor) AS balance, sum(sides) AS sides
    FROM (
        SELECT debit AS account_id, -amount_minor AS minor, 1 AS sides FROM moves
        UNION ALL
        SELECT credit, amount_minor, 1 FROM moves
        UNION ALL
        SELECT account_id, balance_minor, seq FROM opening_balances
    ) AS s
    GROUP BY account_id
) AS r ON r.account_id = a.id
WHERE a.balance + coalesce(p.pending, 0) <> coalesce(r.balance, 0)
   OR (NOT a.house AND a.seq <> coalesce(r.sides, 0))
