-- Nobody's available money is below the floor, and nobody holds less than nothing.
SELECT id AS subject,
       format('balance %s, held %s, floor %s', balance, held, floor_minor) AS detail
FROM accounts
WHERE NOT house AND (balance - held < floor_minor OR held < 0)
