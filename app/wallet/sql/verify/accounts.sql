-- Who may own what: house kinds are the house's, one of each; only agents and merchants have a
-- floor below zero; the house has neither floor nor hold nor sequence.
SELECT id AS subject,
       format('%s %s of %s %s, floor %s, held %s, seq %s', currency, kind, owner_kind, owner_id,
              floor_minor, held, seq) AS detail
FROM accounts
WHERE house <> (owner_kind = 'house') OR house <> (owner_id IS NULL)
   OR (floor_minor <> 0 AND owner_kind NOT IN ('agent', 'merchant')) OR floor_minor > 0
   OR (house AND (held <> 0 OR seq <> 0))
