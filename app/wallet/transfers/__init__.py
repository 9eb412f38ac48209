"""Transfers: one row for each movement between people and agents, and how it comes about.

    offers     what a confirmation shows and the PIN agrees to: parties, amount, fee
    posting    carries an offer out: ceilings, limits, posting, row, commission
    records    the rows, and what people and staff are told of them
    sends      to a registered number
    vouchers/  to a number that is not registered
    stops/     asking for a wrongly sent amount back
    returns    taking a transfer back: what vouchers and stops share

What may not live here: cash and floats, which are at `app/wallet/counter/`.
"""
