"""L9: RQ jobs and the schedule. A job carries no work: it says "look at your table now".

`process` holds what is made once a process, `jobs` the functions that RQ calls, `worker` our
RQ worker, `heartbeat` the rows that say who is alive, `schedule` the sweep. `python -m workers
<queue>` runs a worker, `python -m workers.schedule` the schedule.
"""
