"""A biller's daily file beside what we captured: each line matched, and what does not fit decided.

    report_file    the file, line by line, as the market file describes it
    runs           a file comes in whole, once a biller and day
    matching       the comparison, as sets in the database
    exceptions     what does not fit, and until when
    acting         what can be done about it; what moves money is approved by another
    write_offs     what a write-off posts
    folder         files that arrive by themselves

What may not live here: orders to pay a biller (`app/wallet/trust/orders.py`); asking a biller about
one payment (`app/billers/fulfilment.py`); the day's files to billers that are paid by file.
"""

from app.billers.reconciliation.folder import inbox

__all__ = ["inbox"]
