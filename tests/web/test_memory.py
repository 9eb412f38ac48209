"""A web process keeps nothing of the memory that PINs took (app/memory.py)."""

from __future__ import annotations

import subprocess
import sys

from app.wallet.pins import HASHER

THREADS = 16
KEPT_KIB_MOST = THREADS * HASHER.memory_cost // 4
# Prints by how many KiB a process grew in which each thread hashed PINs. All of them stay alive:
# it is the heaps of living threads that keep what they had.
GREW = f"""
import sys, threading
from app import memory
from app.wallet.pins import HASHER

if sys.argv[1] == "given back":
    memory.keep_no_large_blocks()

def resident_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))

def work():
    for _ in range(5):
        HASHER.hash("1234")
    together.wait()
    together.wait()

HASHER.hash("1234")
together = threading.Barrier({THREADS} + 1)
before = resident_kib()
for _ in range({THREADS}):
    threading.Thread(target=work).start()
together.wait()
print(resident_kib() - before)
together.wait()
"""


def grew_kib(how: str) -> int:
    argv = [sys.executable, "-c", GREW, how]
    return int(subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout)


def test_what_pins_took_goes_back_to_the_system() -> None:
    assert grew_kib("given back") < KEPT_KIB_MOST
    assert grew_kib("kept") > 2 * KEPT_KIB_MOST, "libc gives it back by itself: ours is not needed"
