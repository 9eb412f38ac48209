-- A side with a floor carries sequence and balance, a house side neither; the two sides of a move
-- are two accounts of one currency, and exist.
SELECT m.posting_id AS subject, format('line %s: %s to %s', m.line, m.debit, m.credit) AS detail
FROM moves m
LEFT JOIN accounts d ON d.id = m.debit
LEFT JOIN accounts c ON c.id = m.credit
WHERE d.id IS NULL OR c.id IS NULL OR d.currency <> c.currency OR d.id = c.id
   OR d.house <> (m.debit_seq IS NULL)  OR d.house <> (m.debit_balance IS NULL)
   OR c.house <> (m.credit_seq IS NULL) OR c.house <> (m.credit_balance IS NULL)
