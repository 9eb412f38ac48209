"""The launcher: an embedded PostgreSQL and Redis, and the supervisor behind `make run`.

What may live here: finding the server binaries inside their wheels, starting and ending processes
so that none is left behind, and what the person at the terminal sees meanwhile. It imports nothing
of the product; in production, where the operator runs PostgreSQL, Redis and the processes of the
Procfile with tools of their own, none of it is needed.

    errors      what stops a start, as one sentence
    processes   spawn, signal and end processes with everything they started
    places      which folders are ours, who owns them, who may be in them
    programs    the binaries inside the wheels, and a copy that another user can execute
    embedded    what PostgreSQL and Redis have in common: start, readiness, stop, kill
    postgres    PostgreSQL's own part: initdb, durability settings, roles, databases
    redis       Redis' own part
    servers     both together in one folder: the API for tests, bench and the kill harness
    procfile    Procfile entries as argument lists
    children    one supervised process: its output, its backoff
    supervisor  keeps children and servers alive until told to stop
    market      the little that a run has to know of its market file
    billers     the market's billers, for the sandbox and for Kibanda's credentials
    settings    the environment of a demo run
    run         `python -m launcher run`, from the check of the ports to the end
    readiness   when all of it answers, and what a person is told then
    reset       `python -m launcher reset`
    terminal    progress lines and prefixed output
    install     pip with a progress line a package (used by the Makefile, standard library only)
"""
