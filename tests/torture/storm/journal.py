"""What the phones sent and were shown, and what else the outside saw: one JSON object a line.

1. A record is on disk before whoever writes it goes on: what a phone is about to send, before it is
   sent; what it was shown, before its owner reads it.
2. No PIN and no code is written: whoever types one says so, and a mark stands in its place.
3. Writers that come together share one fsync.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class Journal:
    """One append-only file; safe for threads. Each record gets `at` (epoch seconds) and `mono`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = 0

    def write(self, kind: str, **facts: Any) -> Record:
        """Append a record and return it when it is on disk. Raises OSError."""
        record = {"kind": kind, "at": time.time(), "mono": time.monotonic(), **facts}
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._writing:
            os.write(self._fd, line.encode())
            self._written += 1
            mine = self._written
        with self._syncing:
            if self._synced < mine:
                upto = self._written
                os.fsync(self._fd)
                self._synced = upto
        return record

    def records(self, *kinds: str) -> list[Record]:
        """Every record of these kinds, or all, oldest first."""
        with self._path.open(encoding="utf-8") as lines:
            read = [json.loads(line) for line in lines]
        return [record for record in read if not kinds or record["kind"] in kinds]

    def close(self) -> None:
        os.close(self._fd)
