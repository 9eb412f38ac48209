"""Append-only journals: what was sold, sent and shown, one JSON object a line, on disk before told.

A kill harness judges from these files, so a record is fsynced before anyone hears of what it says.
After kill -9 the last line may be torn; nobody heard of it, so opening the journal cuts it off.
"""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def iso(epoch_seconds: float) -> str:
    """The instant as UTC text with milliseconds, e.g. 2026-01-02T15:04:05.123Z."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """One JSONL file; safe for threads of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._cut_torn_line()
        self._sync_folder()

    def append(self, record: Record) -> None:
        """Write one record and return when it is on disk; raises OSError when the disk refuses."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
        with self._lock:
            os.write(self._fd, line.encode())
            os.fsync(self._fd)

    def records(self) -> list[Record]:
        """Every record, oldest first."""
        with self._lock:
            content = self._path.read_bytes()
        return [json.loads(line) for line in content.splitlines() if line]

    def _cut_torn_line(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
