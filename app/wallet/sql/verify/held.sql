-- What an account holds is the sum of its open holds.
SELECT a.id AS subject, format('held %s, open holds %s', a.held, coalesce(h.minor, 0)) AS detail
FROM accounts a
LEFT JOIN (
    SELECT account_id, sum(amount_minor) AS minor FROM holds WHERE state = 'held'
    GROUP BY account_id
) AS h ON h.account_id = a.id
WHERE a.held <> coalesce(h.minor, 0)
