"""Faults: how the outside world can be told to misbehave, for a number of times or until cleared.

A fault lives in memory only: a restarted sandbox behaves. The first fault of a target that fits the
request is taken, in the order in which they were added.
"""

import itertools
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

LONGEST_SECONDS = 3600.0
MOST_TIMES = 1_000_000
BILLER_CALLS = ("transaction", "inquiry", "status", "reversal", "all")
_OF_TRANSACTIONS = ("status", "reversal")  # a transaction's own calls, hit with it


class Kind(NamedTuple):
    """One way to misbehave: its plain name for the page, and its usual wait in seconds, if any."""

    label: str
    seconds: float = 0.0


SMS_KINDS = {
    "down": Kind("The gateway is down"),
    "http_500": Kind("The gateway answers 500"),
    "lost_reply": Kind("Takes it, but the answer is lost"),
    "refuse_sender": Kind("Refuses our sender name"),
    "duplicate_report": Kind("Every report comes twice"),
    "out_of_order_report": Kind("Reports come in the wrong order"),
    "unknown_report": Kind("Reports use an unknown word"),
    "undelivered": Kind("The phone cannot be reached"),
}
USSD_KINDS = {
    "drop": Kind("Network lost after the next request"),
    "duplicate": Kind("Every reply arrives twice at once"),
    "redeliver": Kind("Every reply comes again after the answer"),
    "shared_code": Kind("Service code comes without its channel"),
}


class FaultError(Exception):
    """A fault that was asked for and does not exist; the text says what does."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One order to misbehave.

    `times` is what is left of it, None until cleared; `on` names the calls of a biller that fail.
    """

    id: int
    target: str
    kind: str
    times: int | None
    seconds: float
    on: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class FaultBook:
    """The faults in force; safe for threads. `changed` is called after every change."""

    def __init__(self, billers: Mapping[str, dict[str, Kind]], changed: Callable[[], None]) -> None:
        self._kinds = {f"biller:{code}": kinds for code, kinds in billers.items()}
        self._kinds |= {"sms": SMS_KINDS, "ussd": USSD_KINDS}
        self._faults: dict[int, Fault] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._changed = changed
        self.clearings = 0  # what a fault left behind is in force only until the next clearing

    @property
    def kinds(self) -> dict[str, dict[str, Kind]]:
        return self._kinds

    def add(self, order: object) -> Fault:
        """Put a fault in force from its JSON form; raises FaultError with what is possible."""
        fault = self._parse(order)
        with self._lock:
            self._faults[fault.id] = fault
        self._changed()
        return fault

    def take(self, target: str, kinds: Collection[str], call: str = "") -> Fault | None:
        """The first fault in force of these kinds, one time of it used up; else None."""
        with self._lock:
            for fault in self._faults.values():
                if fault.target == target and fault.kind in kinds and _is_on(fault, call):
                    break
            else:
                return None
            if fault.times is None:
                return fault
            self._use_up(fault, fault.times)
        self._changed()
        return fault

    def list(self) -> list[Fault]:
        with self._lock:
            return list(self._faults.values())

    def remove(self, fault_id: int) -> bool:
        with self._lock:
            found = self._faults.pop(fault_id, None) is not None
            self.clearings += found
        self._changed()
        return found

    def clear(self) -> int:
        """Everything behaves again; returns how many faults were in force."""
        with self._lock:
            count = len(self._faults)
            self._faults.clear()
            self.clearings += 1
        self._changed()
        return count

    def _use_up(self, fault: Fault, times: int) -> None:
        if times == 1:
            del self._faults[fault.id]
        else:
            self._faults[fault.id] = Fault(**{**asdict(fault), "times": times - 1})

    def _parse(self, order: object) -> Fault:
        if not isinstance(order, dict):
            raise FaultError('a fault is a JSON object like {"target": "sms", "kind": "down"}')
        target, kind = order.get("target"), order.get("kind")
        kinds = self._kinds.get(target) if isinstance(target, str) else None
        if kinds is None:
            raise FaultError(f"target must be one of: {', '.join(self._kinds)}")
        if not isinstance(kind, str) or kind not in kinds:
            raise FaultError(f"kind of {target} must be one of: {', '.join(kinds)}")
        times, on = order.get("times"), order.get("on", "transaction")
        if times is not None and not (_is_number(times, int) and 1 <= times <= MOST_TIMES):
            raise FaultError(f"times must be null or a whole number from 1 to {MOST_TIMES}")
        seconds = order.get("seconds", kinds[kind].seconds)
        if not (_is_number(seconds, int | float) and 0 <= seconds <= LONGEST_SECONDS):
            raise FaultError(f"seconds must be a number from 0 to {LONGEST_SECONDS:g}")
        if on not in BILLER_CALLS:
            raise FaultError(f"on must be one of: {', '.join(BILLER_CALLS)}")
        return Fault(
            id=next(self._ids),
            target=str(target),
            kind=kind,
            times=times,
            seconds=float(seconds),
            on=on,
        )


def _is_on(fault: Fault, call: str) -> bool:
    if not call or fault.on in (call, "all"):
        return True
    return fault.on == "transaction" and call in _OF_TRANSACTIONS


def _is_number(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
