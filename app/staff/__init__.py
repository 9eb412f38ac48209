"""L7: the operator's staff: what they ask, who they are, what two of them decide.

`status` and `timeline` read: how is the system, what became of this payment or person. `accounts`,
`credentials` and `sessions` say who acts; `cases` and `decisions` are proposals that another
approves. The command line uses all of it, and the console will.
"""
