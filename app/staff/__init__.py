"""L7: the operator's staff: what they ask, who they are, what two of them decide.

`status`, `overview`, `timeline` and `movements` read: how is the system, where is somebody's money,
what became of a reference. `accounts`, `credentials` and `sessions` say who acts. `cases` are
proposals that another approves, `decisions` what an approval does; each subject has a file of its
own, `person_cases` and so on, and `news` tells whom it is about. `pin_resets` take two by nature.
The command line uses all of it, and the console will.
"""
