"""What is made once in a worker process, and whether the process has been told to stop."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import cache

from app.billers.fulfilment import Fulfilment
from app.billers.protocols import wires
from app.factory import build_runtime
from app.runtime import Runtime

# Measured: 32 calls in flight record as quickly over 4 connections as over 36. The rest is for the
# heartbeat, the claims and the lookout, which must never queue behind them.
POOL_SIZE = 20


@dataclass(slots=True)
class Process:
    """`looked_at` is the monotonic time when a drain last began, by whomever it was rung."""

    runtime: Runtime
    fulfilment: Fulfilment
    stopping: threading.Event = field(default_factory=threading.Event)
    looked_at: float = field(default_factory=time.monotonic)


@cache
def current() -> Process:
    """This process's own; made on first use, by the main thread before any other starts."""
    runtime = build_runtime(pool_size=POOL_SIZE)
    billers = wires(runtime.market, runtime.settings)
    return Process(runtime, Fulfilment(runtime.db, runtime.market, billers))
