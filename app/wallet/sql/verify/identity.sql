-- What people own and what is owed equals what the trust bank holds and what is on the way:
-- wallets + floats + tills + vouchers + savings + fees + tax + commission + settlement + suspense
-- = trust_bank + deposits_in_transit - payouts_in_transit. (Inside, assets are negative.)
SELECT t.currency AS subject,
       format('people %s + fees %s + tax %s + commission %s + settlement %s + suspense %s'
              ' is not trust_bank %s + deposits_in_transit %s - payouts_in_transit %s',
              people, fees, tax, commission, settlement, suspense,
              trust_bank, deposits_in_transit, payouts_in_transit) AS detail
FROM (
    SELECT b.currency,
           coalesce(sum(minor) FILTER (
               WHERE kind IN ('wallet', 'float', 'till', 'voucher', 'savings')), 0) AS people,
           coalesce(sum(minor) FILTER (WHERE kind = 'fees'), 0)                     AS fees,
           coalesce(sum(minor) FILTER (WHERE kind = 'tax'), 0)                      AS tax,
           coalesce(sum(minor) FILTER (WHERE kind = 'commission'), 0)               AS commission,
           coalesce(sum(minor) FILTER (WHERE kind LIKE 'settlement:%'), 0)          AS settlement,
           coalesce(sum(minor) FILTER (WHERE kind LIKE 'suspense:%'), 0)            AS suspense,
           coalesce(-sum(minor) FILTER (WHERE kind = 'trust_bank'), 0)              AS trust_bank,
           coalesce(-sum(minor) FILTER (WHERE kind = 'deposits_in_transit'), 0)
               AS deposits_in_transit,
           coalesce(sum(minor) FILTER (WHERE kind = 'payouts_in_transit'), 0)
               AS payouts_in_transit
    FROM (
        SELECT currency, kind, balance AS minor FROM accounts
        UNION ALL
        SELECT a.currency, a.kind, p.amount_minor
        FROM house_pending p JOIN accounts a ON a.id = p.account_id
    ) AS b
    GROUP BY b.currency
) AS t
WHERE people + fees + tax + commission + settlement + suspense
      <> trust_bank + deposits_in_transit - payouts_in_transit
