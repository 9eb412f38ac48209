"""The links of the system: a proxy of ours on each, whose weather is set while it runs.

All run in one process of their own, so that they wait for nobody's interpreter but each other's.

1. `open` carries every byte, in order, and the end of each direction.
2. `latency` holds every piece back for so many seconds, each way.
3. `reset` ends what is connected, and what connects, with an RST.
4. `half_open` loses what is connected: one side hears of it, the `deaf` one does not and speaks on
   to nobody. What connects meanwhile is carried.
5. `black_hole` carries nothing. Afterwards what was said meanwhile arrives, late and in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[3]
MODES = ("open", "latency", "reset", "half_open", "black_hole")
PIECE_BYTES = 65_536
ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5.0
BACKLOG = 512
AT_ONCE_RST = struct.pack("ii", 1, 0)  # SO_LINGER: what is unsent is thrown away


class Links:
    """The running proxies, by name; `ports` are where each listens, in the order of its targets.

    A target is `host:port`, or the path of a Unix socket.
    """

    def __init__(self, targets: Mapping[str, Sequence[str]], log: Path) -> None:
        ours, theirs = socket.socketpair()
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.torture.storm.links", str(theirs.fileno())),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        theirs.close()
        ours.settimeout(ANSWER_SECONDS)
        self._socket = ours
        self._answers = ours.makefile("r")
        self.ports: dict[str, list[int]] = self._ask(
            {name: list(to) for name, to in targets.items()}
        )

    def set(self, name: str, mode: str, *, seconds: float = 0.0, deaf: str = "client") -> None:
        """The weather on one link from now on; `deaf` is `client` or `server`."""
        self._ask({"link": name, "mode": mode, "seconds": seconds, "deaf": deaf})

    def stop(self) -> None:
        """Ends every connection. A process that has no one to listen to ends by itself."""
        self._answers.close()
        self._socket.close()
        self._process.wait(ANSWER_SECONDS)

    def _ask(self, order: Mapping[str, Any]) -> Any:
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        line = self._answers.readline()
        assert line, "the links have ended"
        return json.loads(line)


@dataclass(eq=False)
class _Pair:
    """One connection: both of its sides, and whether it was lost to one of them."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lost: bool = False

    def reset(self) -> None:
        for side in (self.client, self.server):
            _reset(side)

    def lose(self, deaf: str) -> None:
        self.lost = True
        _reset(self.server if deaf == "client" else self.client)


@dataclass(eq=False)
class _Link:
    """The state of one link, in the process of the links."""

    mode: str = "open"
    seconds: float = 0.0
    pairs: set[_Pair] = field(default_factory=set)
    flows: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, mode: str, seconds: float, deaf: str) -> None:
        assert mode in MODES, mode
        for pair in list(self.pairs):
            if pair.lost or mode == "reset":
                pair.reset()
            elif mode == "half_open":
                pair.lose(deaf)
        self.mode, self.seconds = mode, seconds
        if mode == "black_hole":
            self.flows.clear()
        else:
            self.flows.set()

    async def carry(
        self, target: str, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        """One connection, from its first byte to its end."""
        try:
            await self.flows.wait()
            if self.mode == "reset":
                _reset(client)
                return
            far, server = await asyncio.wait_for(_connect(target), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            _reset(client)
            return
        pair = _Pair(client, server)
        self.pairs.add(pair)
        try:
            await asyncio.gather(self._pump(pair, reader, server), self._pump(pair, far, client))
        finally:
            self.pairs.discard(pair)
            client.close()
            server.close()

    async def _pump(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one direction to its end. What the lost side of a pair says goes nowhere."""
        try:
            while piece := await reader.read(PIECE_BYTES):
                await self.flows.wait()
                if self.mode == "latency":
                    await asyncio.sleep(self.seconds)
                if not pair.lost:
                    writer.write(piece)
                    await writer.drain()
            await self.flows.wait()
            if not pair.lost:
                writer.write_eof()
        except OSError:
            if not pair.lost:
                pair.reset()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End it with an RST where it is TCP; a Unix socket just closes."""
    if writer.transport.is_closing():
        return
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE_RST)
    writer.transport.abort()


async def _connect(target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.startswith("/"):
        return await asyncio.open_unix_connection(target)
    host, _, port = target.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _listen(link: _Link, target: str) -> int:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await link.carry(target, reader, writer)

    server = await asyncio.start_server(carry, "127.0.0.1", 0, backlog=BACKLOG)
    port: int = server.sockets[0].getsockname()[1]
    _listening.append(server)
    return port


_listening: list[asyncio.Server] = []  # asyncio itself keeps no server alive


async def _serve(control: socket.socket) -> NoReturn:
    """Open the links that the first line names, then do as the others say, until there are none."""
    reader, writer = await asyncio.open_connection(sock=control)
    targets = json.loads(await reader.readline())
    links = {name: _Link() for name in targets}
    for link in links.values():
        link.flows.set()
    answer: Any = {
        name: [await _listen(links[name], target) for target in to] for name, to in targets.items()
    }
    while True:
        writer.write(json.dumps(answer).encode() + b"\n")
        line = await reader.readline()
        if not line:
            os._exit(0)  # whatever is connected ends with us
        order = json.loads(line)
        links[order["link"]].set(order["mode"], order["seconds"], order["deaf"])
        answer = len(links[order["link"]].pairs)


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
