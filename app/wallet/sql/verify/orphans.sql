-- What a foreign key would say, if it did not cost a lock on the account's row.
SELECT p.id AS subject, 'a posting without moves' AS detail FROM postings p
WHERE NOT EXISTS (
    SELECT FROM moves m WHERE m.posting_id = p.id AND m.posted_at = p.posted_at)
UNION ALL
SELECT m.posting_id, 'moves without their posting' FROM moves m
WHERE NOT EXISTS (
    SELECT FROM postings p WHERE p.id = m.posting_id AND p.posted_at = m.posted_at)
UNION ALL
SELECT t.account_id, 'no such account: ' || t.place
FROM (
    SELECT account_id, 'holds' AS place FROM holds
    UNION SELECT account_id, 'hold_counts' FROM hold_counts
    UNION SELECT account_id, 'limit_counters' FROM limit_counters
    UNION SELECT account_id, 'opening_balances' FROM opening_balances
    UNION SELECT account_id, 'house_pending' FROM house_pending
) AS t
WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.id = t.account_id)
