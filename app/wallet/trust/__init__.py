"""The trust account: the bank behind the money, its statement, what is on the way to and from it.

    statement_file   the CSV that the bank writes, line by line
    statements       a file comes in whole, after the one before, once
    lines            the lines of the statement
    payees           whose money a line or a deposit is
    deposits         notices: money that is on its way to the bank, nobody's to spend yet
    payouts          money that is on its way from the bank to somebody
    orders           what is paid to billers, a day each; what a day comes to
    pain001          such orders as the bank reads them
    matches          the rows that say what a line is for
    targets          what a line could be for, by the words in it
    matching         what a line is for, by maker and checker; only that moves trust_bank
    settlement       what a confirmed line posts
    receipts         the SMS of all this
    identity         do the books agree with themselves, and with the bank
    waiting          what has waited too long
    report           the whole of it at one instant

What may not live here: the bank's own wire, which is a file; staff accounts and their password;
cash at a counter (`app/wallet/counter/`).
"""
