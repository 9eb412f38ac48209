"""Messages in a stream of bytes: two bytes of length, big-endian, before each."""

from __future__ import annotations

import struct

SHORTEST_BYTES = 20  # a message type and one bitmap
LONGEST_BYTES = 4096
_LENGTH = struct.Struct(">H")


class FrameError(Exception):
    """A length that no message of ours has; nothing after it can be read."""


def framed(message: bytes) -> bytes:
    """A message as it goes over the wire."""
    return _LENGTH.pack(len(message)) + message


class Frames:
    """Cuts what arrives into messages. Keeps no more than one unfinished message and one chunk."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def unfinished(self) -> bool:
        return bool(self._rest)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that are complete now. Raises FrameError."""
        self._rest += chunk
        found: list[bytes] = []
        while len(self._rest) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._rest)
            if not SHORTEST_BYTES <= length <= LONGEST_BYTES:
                raise FrameError
            end = _LENGTH.size + length
            if len(self._rest) < end:
                break
            found.append(bytes(self._rest[_LENGTH.size : end]))
            del self._rest[:end]
        return found
