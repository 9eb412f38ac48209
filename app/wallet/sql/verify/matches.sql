-- A confirmed match and its line's posting are one; amounts are equal to the unit; a line that came
-- in a file is posted by a match only. A deposit is cleared by the posting of its match.
SELECT m.line_id AS subject,
       format('confirmed by posting %s, the line says %s', m.posting_id, l.posting_id) AS detail
FROM bank_matches m JOIN bank_lines l ON l.id = m.line_id
WHERE m.confirmed_at IS NOT NULL AND m.posting_id IS DISTINCT FROM l.posting_id
UNION ALL
SELECT t.line_id, format('posted by %s without a match', l.posting_id)
FROM statement_lines t JOIN bank_lines l ON l.id = t.line_id
WHERE l.posting_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM bank_matches m WHERE m.line_id = l.id AND m.posting_id = l.posting_id)
UNION ALL
SELECT m.line_id, format('%s of %s, matched to %s', m.kind, l.amount_minor,
                         coalesce(n.amount_minor, t.amount_minor))
FROM bank_matches m
JOIN bank_lines l ON l.id = m.line_id
LEFT JOIN deposit_notices n ON n.id = m.notice_id
LEFT JOIN transfers t ON t.id = m.transfer_id
WHERE m.confirmed_at IS NOT NULL AND (
    (m.kind = 'deposit' AND l.amount_minor <> n.amount_minor)
    OR (m.kind = 'payout' AND l.amount_minor <> -t.amount_minor)
    OR (m.kind = 'returned' AND l.amount_minor <> t.amount_minor))
UNION ALL
SELECT n.reference, format('deposit %s, ended by posting %s, its match by %s', n.state, n.ended_by,
                           m.posting_id)
FROM deposit_notices n
LEFT JOIN bank_matches m ON m.notice_id = n.id AND m.confirmed_at IS NOT NULL
WHERE (n.state = 'cleared') <> (m.id IS NOT NULL)
   OR (n.state = 'cleared' AND n.ended_by <> m.posting_id)
