"""L5: who is paid, and what became of it.

What may live here: what is sold (`catalogue`, `hours`, `quotes`, `inquiries`, `favourites`,
`tokens`), the life of a payment (`states`, `models`, `payments`, `claims`, `orders`, `fulfilment`,
`settlement`, `webhooks`, `batches`, `telling`, `waiting`, `expiry`, `resolution`), each biller's
breaker and pause (`breaker`), the biller's wire formats (`protocols/`, one file a family), and what
both sides say of a day (`reconciliation/`).

What may not: Flask, RQ, Redis, a screen, the text of an SMS. HTTP is spoken in `protocols/` only,
and never while a transaction is open.
"""
