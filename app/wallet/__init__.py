"""L4: the ledger, and everything that moves money.

What may live here: the ledger's calls and the SQL functions behind them (`ledger`, `accounts`,
`statements`, `verify`, `keys`, `sql/`), and the use cases that post (holds, intents, tariffs,
limits, PINs, agents). Above these stand, in folders: `transfers/` (sending, vouchers, stops),
`counter/` (cash, floats, what an agent does) and `trust/` (the bank behind the money).

What may not: Flask, RQ, Redis, HTTP, a screen, an SMS. Every call takes `session`, `now` and a
reference as arguments; nobody here reads a clock, commits, or retries.
"""
