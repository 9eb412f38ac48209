-- Money is conserved: all accounts of a currency, with what is pending, sum to zero.
SELECT a.currency AS subject, format('sums to %s', sum(a.balance + coalesce(p.pending, 0))) AS detail
FROM accounts a
LEFT JOIN (
    SELECT account_id, sum(amount_minor) AS pending FROM house_pending GROUP BY account_id
) AS p ON p.account_id = a.id
GROUP BY a.currency
HAVING sum(a.balance + coalesce(p.pending, 0)) <> 0
