"""Billers that are paid by file: what people confirmed in a day goes out together at its cut-off.

    held ─cut-off: batch, commit─▶ sent ─our file─▶ … ─their file─▶ captured | released | unknown

    making     the held payments of a day become a batch, whose file is written after the commit
    answers    the biller's file settles them
    overview   what waits, what is on its way, and for how long

1. A payment is `sent` before a byte of the file is written. A batch whose file is not there yet is
   written again, the same bytes; so a kill at any moment loses nothing and sends nothing twice.
2. Only their file, or two members of staff, end the doubt about what went out.
"""

from app.billers.batches.answers import read_answers
from app.billers.batches.making import close_days

__all__ = ["close_days", "read_answers"]
