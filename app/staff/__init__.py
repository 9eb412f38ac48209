"""L7: what the operator's staff ask: how is the system, what became of this payment or person.

Read-only questions over the tables, used by the command line and by the health views.
"""
