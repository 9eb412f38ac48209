"""`make profile`: where the time of a dial, a hop and a payment goes, in the web and both workers.

py-spy looks at the running processes from outside, 100 times a second, and counts the thread that
holds the interpreter: who waits is left out, and so is C that has let go of it (argon2, libpq). It
reads another process's memory, for which it must be root or be allowed to trace; where it is
neither, it says so and this ends.

A flame graph of each is written to var/bench/, to be opened in a browser.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from app.factory import build_runtime
from app.runtime import Runtime
from app.settings import Settings
from bench import hops
from bench.callers import play
from bench.figures import ROOT, surroundings
from bench.person import Person
from bench.processes import children
from bench.web import START_SECONDS, add_people
from launcher.servers import temporary_servers
from tests.servers import migrate
from tests.world import World

SECONDS = 15
DIALLED = 12  # times as many sessions as one round of hops has: enough for as long as we look
A_SECOND = 100
PAUSE_SECONDS = 0.001  # when nothing is left to do this must not become a busy loop
LATE_SECONDS = 120.0  # it stops the process for each look, and a busy machine makes that long
CALLERS = 8
START = 100_000  # whole shillings
KEPT = ROOT / "var" / "bench"
SHOWN_LEAST = 0.02
SHOWN_MOST = 25
PY_SPY = Path(sys.executable).parent / "py-spy"
FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)")
Stacks = Mapping[tuple[tuple[str, str], ...], int]  # (file, function) from the outside inwards


def main() -> int:
    """Print the tables; the exit code is 1 when py-spy may not look."""
    print(surroundings("make profile"), flush=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        app_url, owner_url = servers.url("kibanda_app"), servers.url("kibanda_owner")
        migrate(owner_url)
        parts = build_runtime(Settings(database_url=app_url, redis_url=servers.redis_url))
        world = World(Path(folder), app_url, owner_url, servers.redis_url, forked=False)
        world.start()
        try:
            world.wait_ready(START_SECONDS)
            return _profile(world, parts)
        except NotAllowedError as refusal:
            print(f"profile: {refusal}", file=sys.stderr)
            return 1
        finally:
            world.stop()
            parts.db.dispose()


class NotAllowedError(Exception):
    """py-spy could not look; the text is what it said."""


def _profile(world: World, parts: Runtime) -> int:
    (web,) = children(world.pid("web"))
    msisdns = add_people(parts, CALLERS + 1, START * 100, "en")
    people = [Person(msisdn, "en", START) for msisdn in msisdns[1:]]
    with _played(lambda: hops.dial(world.port, msisdns[0], CALLERS)):
        _look({"dial-web": web})
    dialled = [hops.dial(world.port, msisdns[0], CALLERS) for _ in range(DIALLED)]
    with _played(lambda: dialled and hops.walk(world.port, msisdns[0], dialled.pop())):
        _look({"hop-web": web})
    with _played(lambda: play(world.port, [[who.pay()] for who in people])):
        workers = {f"payment-{name}": world.pid(name) for name in ("worker", "worker_sms")}
        _look({"payment-web": web, **workers})
    return 0


@contextmanager
def _played(work: Callable[[], object]) -> Iterator[None]:
    """The same again and again in a thread, as long as somebody looks."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                work()
            except AssertionError as wrong:  # py-spy stops the process, so a hop may come too late
                print(f"  a round went wrong: {wrong}", flush=True)
            stop.wait(PAUSE_SECONDS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _look(pids: Mapping[str, int]) -> None:
    """First the stacks, then the same once more as a flame graph: py-spy writes one at a time."""
    stacks = {name: KEPT / f"{name}.txt" for name in pids}
    _record({stacks[name]: pid for name, pid in pids.items()}, "raw")
    _record({KEPT / f"{name}.svg": pid for name, pid in pids.items()}, "flamegraph")
    for name, path in stacks.items():
        _print(name, read_stacks(path.read_text()))
        print(f"flame graph: {(KEPT / name).relative_to(ROOT)}.svg", flush=True)


def _record(pids: Mapping[Path, int], form: str) -> None:
    """Look at all of them at once. Raises NotAllowedError."""
    looking = [
        subprocess.Popen(
            [str(PY_SPY), "record", "--pid", str(pid), "--format", form, "--output", str(path),
             "--duration", str(SECONDS), "--rate", str(A_SECOND), "--gil",
             "--full-filenames"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for path, pid in pids.items()
    ]  # fmt: skip
    for one in looking:
        _, said = one.communicate(timeout=SECONDS + LATE_SECONDS)
        if one.returncode != 0:
            raise NotAllowedError(f"py-spy cannot look at another process here: {said.strip()}")


def read_stacks(raw: str) -> Stacks:
    """py-spy's raw form, a stack a line with how often it was seen; lines of code are dropped."""
    stacks: Counter[tuple[tuple[str, str], ...]] = Counter()
    for line in raw.splitlines():
        frames, _, seen = line.rpartition(" ")
        found = [FRAME.fullmatch(frame) for frame in frames.split(";")]
        stacks[tuple((one["file"], one["function"]) for one in found if one)] += int(seen)
    return stacks


def _print(name: str, stacks: Stacks) -> None:
    whole = sum(stacks.values())
    print(f"\n{name}: {whole} samples in {SECONDS} s")
    print("  by package, time in its own code")
    for what, share in _shares(stacks, lambda stack: {package(stack[-1][0])} if stack else set()):
        print(f"    {share:6.1%}  {what}")
    print("  by function of ours, with what it calls")
    for what, share in _shares(stacks, lambda stack: {of_ours(*frame) for frame in stack} - {""}):
        print(f"    {share:6.1%}  {what}")


def _shares(
    stacks: Stacks, named: Callable[[tuple[tuple[str, str], ...]], set[str]]
) -> list[tuple[str, float]]:
    counts: Counter[str] = Counter()
    for stack, seen in stacks.items():
        for name in named(stack):
            counts[name] += seen
    whole = max(1, sum(stacks.values()))
    shares = [(name, seen / whole) for name, seen in counts.most_common(SHOWN_MOST)]
    return [(name, share) for name, share in shares if share >= SHOWN_LEAST]


def package(file: str) -> str:
    """Whose file it is: a module of ours, an installed package, or Python itself."""
    path = file.removeprefix(f"{ROOT}/")
    if "site-packages/" in path:
        return path.rpartition("site-packages/")[2].partition("/")[0].removesuffix(".py")
    if path.startswith(("app/", "workers/")):
        return path.removesuffix(".py").replace("/", ".")
    if "/lib/python" in path:
        return f"python: {Path(path).stem}"
    return path


def of_ours(file: str, function: str) -> str:
    """The function's full name if it is ours, else nothing."""
    path = file.removeprefix(f"{ROOT}/")
    if not path.startswith(("app/", "workers/")):
        return ""
    return f"{path.removesuffix('.py').replace('/', '.')}.{function}"


if __name__ == "__main__":
    sys.exit(main())
