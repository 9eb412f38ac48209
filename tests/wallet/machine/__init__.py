"""Random lives of a whole wallet: people, agents, staff and the clock, beside a model on dicts.

    books      balances, holds, limits: the ledger as the model has it
    prices     fees worked out again from the numbers of the price list
    market     the demo market with limits so low that a life meets them all
    model      who there is, and the ladder that every movement goes through
    base       the machine: asks the wallet, then the model, and compares everything after each step
    sending · counter · codes · floats · bills · stops · trust · lives
               in each the model of a subject and the rules that play it
    test_machine   runs it

A rule asks the wallet first. What it answers or refuses with, and every balance, hold, limit,
commission and SMS after it, must be what the model says.
"""
