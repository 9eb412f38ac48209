"""L6: what a person sees and types on a phone.

Here live the USSD channel's states and the engine that runs them; `menus/` holds the menus of the
product, written with `states`. Nothing here knows Flask or RQ; only `session` and its `line` touch
Redis, and money moves only through the services that the factory hands to the menus.

    states      the kinds of state, as data
    hop         what a state's functions are given
    menubook    one version of the menus; MenuBook, Shortcut
    screens     a state's texts and facts, made into pages
    paging      long screens cut at line breaks and between words
    inputs      what was typed, read as an answer
    walk        a state, its input, and the states that follow without one
    turning     keys of the engine, and searching a list
    arrival     the first hop: outcome, shortcut, offer to go on, or the start
    shortcuts   codes that are dialled whole
    resume      what a session that was cut off leaves
    live        what a session holds, and its stored form
    session     sessions in Redis: lock, load, compare-and-set
    line        a thread's connection to Redis, and its scripts
    floods      how much may come from a number and at a gateway
    redelivery  which hop is this: new, repeated, out of order
    waits       the few places for hops that wait
    onehop      one hop from load to save
    parts       what every hop shares, and the last words after a failure
    engine      the door: step(request) gives a screen
    ends        end events of the gateways
    paths       which state can follow which
    check       walks a whole book without running it; check_paths, check_secrets: by subject
    problems    what check may say, and how each kind is repaired
    graph       draws a book
    measure     how wide screens are at their worst
    worst       the longest value that each fact may take
"""
