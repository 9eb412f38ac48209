"""L2: structured logs and metrics. Event names are constants; numbers and secrets are masked.

A log line is one JSON object. User input, query strings, PINs, tokens and keys have no place in
one: names that could carry them are removed whatever their value, and anything that looks like an
MSISDN is masked wherever it stands.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from app import msisdn

_NUMBER = re.compile(r"\+\d{8,15}")
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
CALLBACKS_REFUSED = Counter("kibanda_callbacks_refused_total", "Callbacks refused", ["reason"])
BILLER_SECONDS = Histogram(
    "kibanda_biller_call_seconds",
    "Time of a call to a biller",
    ["biller", "call", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
)

log: structlog.stdlib.BoundLogger = structlog.get_logger("kibanda")


def configure(level: str) -> None:
    """Send our own and every library's log lines through the same masks, as JSON, to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The web server quotes a request line that it cannot read, and the callback's secret is in it.
    server = logging.getLogger("gunicorn.error")
    server.handlers[:], server.propagate = [], True
    for chatty in ("urllib3", "rq.worker", "rq.cron", "rq"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def mask(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: remove what may be secret, mask what identifies a person."""
    for name, value in event.items():
        if name in _FORBIDDEN:
            event[name] = "[removed]"
        elif isinstance(value, str):
            event[name] = mask_text(value)
    return event


def mask_text(text: str) -> str:
    """The same masks for a text that was not ours, such as a library's error message."""
    masked = _NUMBER.sub(lambda found: msisdn.mask(found[0]), text)
    return _TOKEN_PARAMETER.sub(lambda found: f"{found[1]}=[removed]", masked)
