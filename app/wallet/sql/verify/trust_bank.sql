-- The trust bank moves only by lines of its statement, each of which two people agreed on: its
-- balance is what the matched lines sum to.
SELECT t.currency AS subject,
       format('trust_bank holds %s, matched lines %s', sum(t.held), sum(t.matched)) AS detail
FROM (
    SELECT a.currency, -a.balance AS held, 0 AS matched FROM accounts a WHERE a.kind = 'trust_bank'
    UNION ALL
    SELECT a.currency, -p.amount_minor, 0
    FROM house_pending p JOIN accounts a ON a.id = p.account_id AND a.kind = 'trust_bank'
    UNION ALL
    SELECT l.currency, 0, l.amount_minor FROM bank_lines l WHERE l.posting_id IS NOT NULL
) AS t
GROUP BY t.currency
HAVING sum(t.held) <> sum(t.matched)
UNION ALL
SELECT l.id, 'matched without two people'
FROM bank_lines l
WHERE l.posting_id IS NOT NULL AND (l.checker IS NULL OR l.checker = l.maker)
