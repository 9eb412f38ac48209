"""The kill harness: the real system is killed with -9 and judged by what the outside saw.

    judge      what is wrong is collected here; balances as phones are told them
    bills      bills paid while the web dies, then at random under load
    families   every biller family in flight when the worker dies, or the billers
    transfers  money between people and agents, the web killed around each commit

Judged by the screens of the phones, what the biller sold, what the SMS gateway took, the balances
that phones are told; and by `verify` and `trial-balance`. Never by the system's own tables.
"""
