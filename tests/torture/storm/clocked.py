"""`python -m tests.torture.storm.clocked PROGRAM …`: one of our programs under another clock.

The program is a script's path, or the name of a module. libfaketime takes the absolute times of
the monotonic clock, by which Python sleeps, for times of the other one; so sleep waits otherwise.
"""

from __future__ import annotations

import runpy
import sys
import threading
import time
from typing import SupportsIndex


def _sleep(seconds: SupportsIndex | float) -> None:
    threading.Event().wait(float(seconds))


def main() -> None:
    time.sleep = _sleep
    program = sys.argv[1]
    sys.argv = sys.argv[1:]
    if program.startswith("/"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
