"""A wire between the engine and Redis that can be cut, or lose an answer, as networks do."""

from __future__ import annotations

import selectors
import shutil
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

READ_BYTES = 65_536
TICK_SECONDS = 0.2


class CutLine:
    """Listens on a socket of its own and passes everything on, both ways, in one thread.

    `cut`: whoever is connected is dropped, whoever comes is turned away, until `mend`.
    `lose_answer`: the next thing that Redis says reaches nobody; what was asked has been done.
    """

    def __init__(self, redis_url: str) -> None:
        parts = urlsplit(redis_url)
        self._folder = Path(tempfile.mkdtemp())
        self._upstream = parts.path
        self.url = f"unix://{self._folder}/s?{parts.query}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{self._folder}/s")
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._peers: dict[socket.socket, socket.socket] = {}
        self._from_redis: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = self._loses = self._stops = False
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> CutLine:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stops = True
        self._thread.join()
        self.cut()
        self._selector.close()
        self._listener.close()
        shutil.rmtree(self._folder)

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for one in list(self._peers):
                self._drop(one)

    def mend(self) -> None:
        self._is_cut = self._loses = False

    def lose_answer(self) -> None:
        self._loses = True

    def _serve(self) -> None:
        while not self._stops:
            for key, _ in self._selector.select(TICK_SECONDS):
                with self._lock:
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    if one is self._listener:
                        self._welcome()
                    elif one in self._peers:
                        self._pass_on(one)

    def _welcome(self) -> None:
        asking, _ = self._listener.accept()
        if self._is_cut:
            asking.close()
            return
        redis = socket.socket(socket.AF_UNIX)
        redis.connect(self._upstream)
        self._from_redis.add(redis)
        for one, other in ((asking, redis), (redis, asking)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        said = b""
        with suppress(OSError):
            said = one.recv(READ_BYTES)
        lost = self._loses and one in self._from_redis
        if not said or lost:
            self._loses = self._loses and not lost
            self._drop(one)
            return
        with suppress(OSError):
            self._peers[one].sendall(said)

    def _drop(self, one: socket.socket) -> None:
        other = self._peers.get(one)
        if other is None:
            return
        for each in (one, other):
            self._selector.unregister(each)
            self._from_redis.discard(each)
            del self._peers[each]
            each.close()
