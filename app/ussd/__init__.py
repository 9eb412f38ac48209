"""L6: what a person sees and types on a phone.

Here live the USSD channel's states and the engine that runs them; `menus/` holds the menus of the
product, written with `states`. Nothing here knows Flask or RQ; only `session` touches Redis, and
money moves only through the services that the factory hands to the menus.

    states   the kinds of state, as data; MenuBook, the registry
    hop      what a state's functions are given
    screens  a state's texts and facts, made into a screen
    paging   long screens cut at word boundaries
    session  the live session in Redis: encoding, lock, compare-and-set
    engine   one hop: which input is new, run it, answer it
    walk     runs a state on an input, and the states that follow without one
    check    walks a whole book without running it
    worst    the longest value that each fact may take
"""
