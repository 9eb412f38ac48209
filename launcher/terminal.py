"""What the person at the terminal sees: steps with their time, and each process' lines under its
name.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

NAME_WIDTH = 10
COLOURS = ("36", "33", "32", "35", "34", "96", "93", "92")
OUR_NAME = "kibanda"


class Terminal:
    """Lines to one stream, coloured when somebody looks. `on_closed` is called once when the
    stream is gone (a closed window, `| head`); what is said after that is dropped.
    """

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self._colour_of: dict[str, str] = {OUR_NAME: "1"}
        self._started = time.monotonic()
        self._closed = False
        self.on_closed: Callable[[], None] | None = None

    @property
    def seconds(self) -> float:
        """Since the start of the program."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """A line of our own."""
        self.line(OUR_NAME, text)

    def step(self, text: str) -> None:
        """A line of our own that says how long it all took so far."""
        self.line(OUR_NAME, f"{text} ({self.seconds:.1f} s)")

    def line(self, name: str, text: str) -> None:
        """A line of the process `name`."""
        prefix = f"{name:<{NAME_WIDTH}} |"
        if self._coloured:
            colour = self._colour_of.setdefault(
                name, COLOURS[(len(self._colour_of) - 1) % len(COLOURS)]
            )
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {text}")

    def plain(self, text: str) -> None:
        if self._closed:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._closed = True
            if self.on_closed is not None:
                self.on_closed()
