"""The agent's counter: cash in and out, floats, what an agent earns, and what it did in a day.

    cash            cash in by the agent, cash out by the customer
    withdrawals     cash out by a code that the customer makes beforehand
    redeeming       the agent's part of that: the code is typed, the cash paid out
    floats          moving float between agents
    float_requests  asking the super-agent for float
    low_float       the SMS that a float runs low
    payouts         commission into the float, once a period
    sheet           the last movements of a float, and a day's cash and float
    splitting       deposits that look split to earn the commission of small bands

Money is posted as everywhere: an offer, then its confirmation (`app/wallet/transfers/`). What may
not live here: bills, which are above (`app/billers/`), and the bank, which is at `trust/`.
"""
