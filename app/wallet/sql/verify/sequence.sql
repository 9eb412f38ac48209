-- The moves of an account with a floor are numbered without a gap, and each carries the balance
-- that the replay up to it gives, never below the floor.
SELECT t.account_id AS subject,
       format('posting %s: seq %s, replay %s; balance after %s, replay %s',
              t.posting_id, t.seq, t.replayed_seq, t.after, t.replayed) AS detail
FROM (
    SELECT s.account_id, s.posting_id, s.seq, s.after,
           coalesce(o.seq, 0) + row_number() OVER by_seq AS replayed_seq,
           coalesce(o.balance_minor, 0) + sum(s.minor) OVER by_seq AS replayed
    FROM (
        SELECT debit AS account_id, posting_id, debit_seq AS seq, debit_balance AS after,
               -amount_minor AS minor
        FROM moves WHERE debit_seq IS NOT NULL
        UNION ALL
        SELECT credit, posting_id, credit_seq, credit_balance, amount_minor
        FROM moves WHERE credit_seq IS NOT NULL
    ) AS s
    LEFT JOIN opening_balances o USING (account_id)
    WINDOW by_seq AS (PARTITION BY s.account_id ORDER BY s.seq ROWS UNBOUNDED PRECEDING)
) AS t
JOIN accounts a ON a.id = t.account_id
WHERE t.seq <> t.replayed_seq OR t.after <> t.replayed OR t.after < a.floor_minor
