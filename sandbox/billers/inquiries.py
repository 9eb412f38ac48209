"""What was asked before it is paid: a biller remembers its inquiries, over a kill -9 too."""

import threading
from typing import Any

from sandbox.journal import Journal

Inquiry = dict[str, Any]


class Inquiries:
    """Inquiries by a key of the family's, each kept for ever; safe for threads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._kept: dict[str, Inquiry] = {}
        for one in journal.records():
            self._remember(one)

    def get(self, key: str) -> Inquiry | None:
        with self._lock:
            return self._kept.get(key)

    def keep(self, key: str, inquiry: Inquiry, also: str = "") -> Inquiry:
        """The first inquiry under this key, which may be an earlier one; `also` finds it too."""
        with self._lock:
            if key not in self._kept:
                kept = {"key": key, "also": also, **inquiry}
                self._journal.append(kept)
                self._remember(kept)
            return self._kept[key]

    def _remember(self, inquiry: Inquiry) -> None:
        self._kept[inquiry["key"]] = inquiry
        if inquiry["also"]:
            self._kept[inquiry["also"]] = inquiry
