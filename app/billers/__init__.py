"""L5: who is paid, and what became of it.

What may live here: the products (`catalogue`, `quotes`, `tokens`), the life of a payment (`states`,
`models`, `payments`, `fulfilment`, `settlement`, `telling`, `expiry`, `resolution`), each biller's
breaker and pause (`breaker`), and the biller's wire formats (`protocols/`, one file a family).

What may not: Flask, RQ, Redis, a screen, the text of an SMS. HTTP is spoken in `protocols/` only,
and never while a transaction is open.
"""
