-- An open voucher has its money in its own account; of a closed one nothing is left there.
SELECT v.id AS subject, format('%s, with %s in account %s', v.state, a.balance, a.id) AS detail
FROM vouchers v
LEFT JOIN transfers t ON t.id = v.transfer_id
LEFT JOIN accounts a ON a.id = v.account_id AND a.kind = 'voucher'
WHERE a.id IS NULL OR a.balance IS DISTINCT FROM CASE v.state WHEN 'open' THEN
    t.amount_minor - CASE t.fee_payer WHEN 'receiver' THEN t.fee_minor ELSE 0 END ELSE 0 END
