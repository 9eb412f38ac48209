"""The whole system as its own processes: web, workers, schedule, and the sandbox around it.

For journeys and for the kill harness. Nothing in it is a stand-in: the phone is the sandbox's, the
web is gunicorn, the workers are RQ, and a process is killed with -9 when a test says so. What they
import was imported before them where `forked` says so (tests/forkserver.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import requests
from rq import Queue
from rq.serializers import JSONSerializer

from app.bell import JOB_TIMEOUT_SECONDS, PAYMENTS
from app.staff.credentials import DEMO_PASSWORD
from launcher import market as market_file
from launcher.billers import Whereabouts
from tests import forkserver
from tests.forkserver import Forked
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 30.0
STOP_SECONDS = 12.0
COMMAND_SECONDS = 60.0
LOGIN_TRIES = 4  # a database under load may let a command wait too long
LOGIN_PAUSE_SECONDS = 11.0  # together longer than a code is good for
BIN = Path(sys.executable).parent
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "sandbox": (sys.executable, "-m", "sandbox"),
    "web": (str(BIN / "gunicorn"), "--config", "gunicorn.conf.py", "app.factory:create_web()"),
    "worker": (sys.executable, "-m", "workers", "payments"),
    "worker_sms": (sys.executable, "-m", "workers", "messages"),
    "schedule": (sys.executable, "-m", "workers.schedule"),
}


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value; AssertionError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.03)


@dataclass
class World:
    """A running Kibanda over given servers. `folder` takes logs and the sandbox's journals."""

    folder: Path
    database_url: str
    migration_database_url: str
    redis_url: str
    market: str = "demo"
    extra: dict[str, str] = field(default_factory=dict)
    root: Path = ROOT
    forked: bool = True

    def __post_init__(self) -> None:
        self.port, self.sandbox_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.sandbox_url = f"http://127.0.0.1:{self.sandbox_port}"
        self.country = market_file.read(self.root, self.market)
        self.biller_ports = self.country.biller_ports(free_port)
        self._running: dict[str, subprocess.Popen[bytes] | Forked] = {}

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "FLASK_SKIP_DOTENV": "1",
            "DATABASE_URL": self.database_url,
            "MIGRATION_DATABASE_URL": self.migration_database_url,
            "REDIS_URL": self.redis_url,
            "KIBANDA_MARKET": self.market,
            "CALLBACK_TOKEN": "demo",
            "PORT": str(self.port),
            "WEB_WORKERS": "1",
            "MENU_OVERLAP_SECONDS": "0",
            # A test types quicker than a thumb; tests/floods has the limits of the defaults.
            "NUMBER_HOPS_A_SECOND": "100000",
            "NUMBER_DIALS_A_MINUTE": "1000000",
            "GATEWAY_DIALS_A_SECOND": "100000",
            "PIN_SPRAY_PEOPLE": "100000",
            "SANDBOX_PORT": str(self.sandbox_port),
            "SANDBOX_DATA": str(self.folder / "sandbox"),
            "KIBANDA_URL": self.url,
            "AT_USERNAME": "sandbox",
            "AT_API_KEY": "demo-at-key",
            "AT_API_URL": self.sandbox_url,
            "AT_SENDER_ID": "KIBANDA",
            **self.country.of_sandbox(),
            **self.country.of_billers(
                Whereabouts(self.sandbox_url, self.url, self.folder / "sandbox", self.biller_ports)
            ),
            **self.extra,
        }

    def start(self, *names: str, failpoint: str = "") -> None:
        """Start the named processes, or all; wait until the web says that it is ready."""
        for name in names or COMMANDS:
            environment = self.environment
            if failpoint:
                environment["KIBANDA_FAILPOINT"] = failpoint
            log = self.folder / f"{name}.log"
            self._running[name] = self._launch(COMMANDS[name], environment, log)

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        wait_for(self._ready, seconds, f"readiness; logs are in {self.folder}")

    def kill(self, name: str) -> None:
        """kill -9 of a process and of everything it started."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)

    def pid(self, name: str) -> int:
        """The process that was started; the web's is gunicorn's own, above its workers."""
        return self._running[name].pid

    def running(self, name: str) -> bool:
        return name in self._running and self._running[name].poll() is None

    def deaths(self, name: str) -> int:
        """How often a process ended by itself; for the web its one worker, by gunicorn's log."""
        if name == "web":
            return (self.folder / "web.log").read_text().count("was sent SIGKILL")
        return int(self._running[name].poll() is not None)

    def flush_redis(self) -> None:
        redis.Redis.from_url(self.redis_url).flushdb()

    def keep_house(self) -> None:
        """What the schedule rings every half minute, now."""
        with redis.Redis.from_url(self.redis_url) as connection:
            queue = Queue(PAYMENTS, connection=connection, serializer=JSONSerializer)
            queue.enqueue("workers.jobs.keep_house", job_timeout=JOB_TIMEOUT_SECONDS, result_ttl=0)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left."""
        for process in self._running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
        self._running.clear()

    def flask(
        self, *arguments: str, typed: str = "", session: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """A command of the command line in this world, with no terminal but these lines `typed`,
        in the `session` of one of the staff.
        """
        command = [str(BIN / "flask"), "--app", "app.factory", *arguments]
        environment = {**self.environment, "KIBANDA_STAFF_SESSION": session}
        if self._forks:
            return forkserver.run(
                command, cwd=self.root, env=environment, typed=typed, seconds=COMMAND_SECONDS
            )
        return subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            input=typed,
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def staff_session(self, name: str) -> str:
        """Somebody of the demo's staff logs in; a code opens one session only."""
        for _ in range(LOGIN_TRIES):
            code = self.flask("staff", "code", name).stdout
            login = self.flask("staff", "login", name, typed=f"{DEMO_PASSWORD}\n{code}")
            if login.returncode == 0:
                break
            time.sleep(LOGIN_PAUSE_SECONDS)
        told = login.stdout
        assert told.startswith("export KIBANDA_STAFF_SESSION="), login.stderr
        assert told.count("\n") == 1
        return told.strip().partition("=")[2]

    def logs(self) -> str:
        """Everything that every process wrote."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the sandbox's own API; its JSON."""
        answer = requests.request(method, self.sandbox_url + path, json=body, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def fault(self, target: str, kind: str, **facts: Any) -> None:
        self.sandbox("POST", "/faults", {"target": target, "kind": kind, **facts})

    def clear_faults(self) -> None:
        self.sandbox("DELETE", "/faults")

    def sales(self, code: str = "") -> list[dict[str, Any]]:
        """What this biller really sold, or the market's first."""
        sold: list[dict[str, Any]] = self.sandbox(
            "GET", f"/billers/{code or self.country.billers[0]}/sales"
        )
        return sold

    def inbox(self, msisdn: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.sandbox("GET", f"/phones/{msisdn}/sms")
        return messages

    def gateway_took(self) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = self.sandbox("GET", "/gateway/sms")
        return taken

    @property
    def _forks(self) -> bool:
        """The fork server has the sources of this checkout only."""
        return self.forked and self.root == ROOT

    def _launch(
        self, command: tuple[str, ...], environment: dict[str, str], log: Path
    ) -> subprocess.Popen[bytes] | Forked:
        if self._forks:
            return forkserver.start(command, cwd=self.root, env=environment, stdout=log, stderr=log)
        with log.open("ab") as written:
            return subprocess.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,
            )

    def _ready(self) -> bool:
        for name, process in self._running.items():
            code = process.poll()
            assert code is None, f"{name} ended with {code}; see {self.folder / name}.log"
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@dataclass
class Phone:
    """A handset of the sandbox: what its owner does, and what it shows."""

    world: World
    msisdn: str

    def dial(self, code: str | None = None) -> str:
        return self._act("dial", {"code": code or self.world.country.service_code})

    def reply(self, text: str) -> str:
        return self._act("reply", {"text": text})

    def drop(self) -> None:
        self.world.sandbox("POST", f"/phones/{self.msisdn}/drop")

    def sms(self) -> list[str]:
        return [message["text"] for message in self.world.inbox(self.msisdn)]

    def wait_sms(self, count: int, seconds: float = 15.0) -> list[str]:
        """All SMS of the handset as soon as there are at least `count`."""
        found: list[str] = wait_for(
            lambda: texts if len(texts := self.sms()) >= count else None,
            seconds,
            f"{count} SMS at {self.msisdn}",
        )
        return found

    @property
    def open(self) -> bool:
        state = self.world.sandbox("GET", f"/phones/{self.msisdn}")
        return bool(state["open"])

    def _act(self, action: str, body: dict[str, str]) -> str:
        shown = self.world.sandbox("POST", f"/phones/{self.msisdn}/{action}", body)
        screen: str = shown["screen"]
        return screen
