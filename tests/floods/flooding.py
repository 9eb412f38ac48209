"""`python -m tests.floods.flooding`: a number, or many, that dial as quickly as they are let.

A process of its own, so that whoever measures an honest phone beside it shares no interpreter with
the flood. It dials until its standard input ends, then prints what it was answered, as JSON.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator

from bench.web import answer_of, hop_request, new_session_id

ANSWER_SECONDS = 20.0
READ_BYTES = 65_536
WORDS_MOST = 40


def hop(line: socket.socket, session_id: str, msisdn: str, text: str) -> tuple[int, str]:
    """Status and body of one hop on a kept connection. Raises OSError."""
    line.sendall(hop_request(session_id, msisdn, text))
    received = b""
    while (answer := answer_of(received)) is None:
        more = line.recv(READ_BYTES)
        if not more:
            raise ConnectionResetError("the server hung up")
        received += more
    return answer


def connect(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _dial(port: int, numbers: Iterator[str], pause: float, over: threading.Event) -> Counter[str]:
    told: Counter[str] = Counter()
    line = connect(port)
    while not over.is_set():
        try:
            status, body = hop(line, new_session_id(), next(numbers), "")
            told[f"{status} {body[:WORDS_MOST]}"] += 1
        except OSError as error:
            told[type(error).__name__] += 1
            line.close()
            line = connect(port)
        if pause:
            time.sleep(pause)
    line.close()
    return told


def _numbers(first: str, count: int, place: int, places: int) -> Iterator[str]:
    """The numbers of one of so many connections, over and over."""
    own = range(place % count, count, places) or range(place % count, place % count + 1)
    while True:
        for offset in own:
            yield f"+{int(first[1:]) + offset}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first", required=True, help="the first of the numbers")
    parser.add_argument("--numbers", type=int, default=1)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0, help="dials a second; 0: unbounded")
    asked = parser.parse_args()
    over, told, gathering = threading.Event(), Counter[str](), threading.Lock()
    pause = asked.connections / asked.rate if asked.rate else 0.0

    def dial(place: int) -> None:
        numbers = _numbers(asked.first, asked.numbers, place, asked.connections)
        heard = _dial(asked.port, numbers, pause, over)
        with gathering:
            told.update(heard)

    threads = [threading.Thread(target=dial, args=(place,)) for place in range(asked.connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join(ANSWER_SECONDS)
    print(json.dumps({"seconds": time.monotonic() - began, "told": dict(told)}))


if __name__ == "__main__":
    main()
