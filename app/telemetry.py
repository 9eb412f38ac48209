"""L2: structured logs and metrics. Event names are constants; numbers and secrets are masked.

A log line is one JSON object. User input, query strings, PINs, tokens and keys have no place in
one: names that could carry them are removed whatever their value, and anything that looks like an
MSISDN is masked wherever it stands.

The texts of others are not trusted: of an exception a line tells its type and where it was raised,
never what it says, which may quote a row or an input; of a line of the web server about a request
only its first words; and every long run of digits in a foreign line is masked.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from functools import cache
from traceback import extract_tb
from types import TracebackType
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from app import msisdn

_NUMBER = re.compile(r"(?i)(?:\+|%2b)\d{8,15}")
_DIGITS = re.compile(r"\d{9,}")
_FRAMES_MOST = 12
_TOKEN_PARAMETER = re.compile(r"(?i)\b(token|pin|apikey|api_key|password)=[^&\s\"']+")
_FORBIDDEN = frozenset({"pin", "text", "input", "token", "secret", "api_key", "password", "otp"})

RINGS = Counter("kibanda_bell_rings_total", "Bells rung after a commit", ["queue", "result"])
HOPS = Counter("kibanda_ussd_hops_total", "USSD hops answered", ["gateway", "result"])
HOP_SECONDS = Histogram(
    "kibanda_ussd_hop_seconds",
    "Time to answer a USSD hop, waits included",
    ["gateway"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
STATE_HOPS = Counter(
    "kibanda_ussd_state_hops_total", "USSD hops by the state that answered", ["state", "result"]
)
STATE_SECONDS = Histogram(
    "kibanda_ussd_state_seconds",
    "Time to answer a USSD hop, by the state that answered",
    ["state"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 5),
)
REFUSALS = Counter(
    "kibanda_ussd_refusals_total",
    "Inputs that a USSD state did not take, or took and ended on, by reason",
    ["state", "reason"],
)
CALLBACKS_REFUSED = Counter("kibanda_callbacks_refused_total", "Callbacks refused", ["reason"])
FLOODS = Counter(
    "kibanda_ussd_floods_total",
    "USSD hops that were refused because too many came",
    ["limit", "gateway"],
)
HUNG_UP = Counter(
    "kibanda_web_hung_up_total",
    "Connections of clients that did not send a request, or read its answer, in time",
    ["reason"],
)
PIN_SPRAYS = Counter(
    "kibanda_pin_sprays_total", "Wrong PINs that came while many people's PINs were wrong"
)
BILLER_SECONDS = Histogram(
    "kibanda_biller_call_seconds",
    "Time of a call to a biller",
    ["biller", "call", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
)

LABELS_MOST = 5_000  # of the labels below; what comes later is counted as OTHER
OTHER = "other"
SELDOM_SECONDS, SELDOM_LINES, SELDOM_KINDS_MOST = 60.0, 1, 1_000
_Meters = tuple[Counter, Histogram, Counter, Histogram]
_hops: dict[tuple[str, str, str], _Meters] = {}
_refusals: dict[tuple[str, str], Counter] = {}

log: structlog.stdlib.BoundLogger = structlog.get_logger("kibanda")


def _shared() -> list[Any]:
    """What our own and every library's lines go through."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(where_it_broke),
        mask,
    ]


@cache
def _processors() -> list[Any]:
    """One list for good: a logger that was used keeps the list it was made with."""
    return [*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter]


def configure(level: str) -> None:
    """Send our own and every library's log lines through the same masks, as JSON, to stderr."""
    structlog.configure(
        processors=_processors(),
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), mask_foreign],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    server = logging.getLogger("gunicorn.error")
    server.handlers[:], server.filters[:], server.propagate = [], [cut_request], True
    threading.excepthook = _thread_failed
    for chatty in ("urllib3", "rq.worker", "rq.cron", "rq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class Seldom:
    """An event that a flood may cause: of each kind at most `SELDOM_LINES` lines in a minute.

    The next line says in `unsaid` how many more there were. A kind is what the caller says it is;
    it holds nothing that a stranger can choose. Safe for threads.
    """

    def __init__(self, event: str, lines: int = SELDOM_LINES) -> None:
        self._event = event
        self._lines = lines
        self._lock = threading.Lock()
        self._said: dict[object, tuple[float, int, int]] = {}

    def error(self, kind: object = None, /, **facts: object) -> None:
        unsaid = self.unsaid(kind)
        if unsaid is not None:
            log.error(self._event, unsaid=unsaid, **facts)

    def warning(self, kind: object = None, /, **facts: object) -> None:
        unsaid = self.unsaid(kind)
        if unsaid is not None:
            log.warning(self._event, unsaid=unsaid, **facts)

    def unsaid(self, kind: object) -> int | None:
        """How many were not told since the last line; None when this one shall not be told."""
        now = time.monotonic()
        with self._lock:
            if kind not in self._said and len(self._said) >= SELDOM_KINDS_MOST:
                kind = OTHER
            since, lines, unsaid = self._said.get(kind, (now, 0, 0))
            if now - since >= SELDOM_SECONDS:
                since, lines = now, 0
            told = lines < self._lines
            self._said[kind] = (since, lines + told, 0 if told else unsaid + 1)
            return unsaid if told else None


_cut = Seldom("", lines=5)


def observe(gateway: str, result: str, state: str, seconds: float) -> None:
    """Count an answered hop in all metrics of hops, once: those of its gateway and of its state.

    `state` is the one whose screen, or sentence, was the answer: a name of the menu book, or
    `engine.…`; never anything that was typed.
    """
    meters = _hops.get((gateway, result, state))
    if meters is None:
        meters = _hop_meters(gateway, result, state)
    hops, hop_seconds, state_hops, state_seconds = meters
    hops.inc()
    hop_seconds.observe(seconds)
    state_hops.inc()
    state_seconds.observe(seconds)


def refused(state: str, reason: str) -> None:
    """Count an input that a state refused; `reason` is a code, never what was typed."""
    counter = _refusals.get((state, reason))
    if counter is None:
        if len(_refusals) >= LABELS_MOST:
            REFUSALS.labels(OTHER, OTHER).inc()
            return
        counter = _refusals[state, reason] = REFUSALS.labels(state, reason)
    counter.inc()


def _hop_meters(gateway: str, result: str, state: str) -> _Meters:
    """The metrics of a hop; looked up once, for a look-up costs its lock."""
    full = len(_hops) >= LABELS_MOST
    shown = OTHER if full else state
    meters = (
        HOPS.labels(gateway, result),
        HOP_SECONDS.labels(gateway),
        STATE_HOPS.labels(shown, result),
        STATE_SECONDS.labels(shown),
    )
    if not full:
        _hops[gateway, result, state] = meters
    return meters


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: remove what may be secret, mask what identifies a person."""
    for name, value in event.items():
        if name in _FORBIDDEN:
            event[name] = "[removed]"
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event


def mask_foreign(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A processor for the lines of libraries: a number need not look like ours there."""
    event["event"] = _DIGITS.sub(lambda found: f"***{found[0][-3:]}", str(event["event"]))
    return event


def mask_text(text: str) -> str:
    """The same masks for a text that was not ours, such as a library's error message."""
    masked = _NUMBER.sub(lambda found: msisdn.mask(found[0]), text)
    return _TOKEN_PARAMETER.sub(lambda found: f"{found[1]}=[removed]", masked)


def cut_request(record: logging.LogRecord) -> bool:
    """A filter for the web server's log: a line written while an error is handled is about what a
    client sent, and quotes it. Its first words, the client's address in them, and the type stay, a
    few times a minute.
    """
    kind = sys.exc_info()[0]
    if kind is not None:
        if _cut.unsaid(kind) is None:
            return False
        words = str(record.msg).split(": ")[0].split("%")[0].strip()
        record.msg, record.args = f"{words}: {kind.__name__}", ()
    return True


def where_it_broke(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> str:
    """An exception and its causes, by type, SQLSTATE and frames, without a word that they say."""
    return " from ".join(_links(exc_info[1]))


def _links(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        facts = [type(error).__name__, getattr(error, "sqlstate", None)]
        facts.append(getattr(getattr(error, "diag", None), "constraint_name", None))
        frames = extract_tb(error.__traceback__)[-_FRAMES_MOST:]
        where = " < ".join(f"{at.name} {at.filename}:{at.lineno}" for at in reversed(frames))
        yield f"{' '.join(fact for fact in facts if fact)} at {where}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Instead of a plain traceback on stderr."""
    log.error("thread_failed", exc_info=failed.exc_value)
