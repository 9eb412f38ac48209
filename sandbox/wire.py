"""Bad luck on the wire: a connection that closes without an answer or in the middle of one, or is
held in silence.

All need the real socket, which gunicorn hands over in the WSGI environment; no other server has
it.
"""

import contextlib
import socket
import time
from collections.abc import Callable

from flask import Response, current_app, request

# Longer than any client of ours waits; a bound, lest a forgotten request keep a thread for ever.
LONGEST_SILENCE_SECONDS = 300.0
_GLANCE_SECONDS = 0.05


def close_without_answer() -> Response:
    """Cut the connection now; the response returned here goes nowhere."""
    client: socket.socket = request.environ["gunicorn.socket"]
    with contextlib.suppress(OSError):  # the client was quicker to leave
        client.shutdown(socket.SHUT_RDWR)
    return Response(status=204, headers={"Connection": "close"})


def cut_in_half(answer: Response) -> Response:
    """Send the head and half of the body, then cut the connection."""
    body = answer.get_data()
    head = f"HTTP/1.1 {answer.status}\r\n{answer.headers}".encode("latin-1")
    client: socket.socket = request.environ["gunicorn.socket"]
    with contextlib.suppress(OSError):
        client.sendall(head + body[: len(body) // 2])
    return close_without_answer()


def stay_silent() -> Response:
    """Hold the request until the client gives up, then close; an answer is never sent."""
    client: socket.socket = request.environ["gunicorn.socket"]
    _wait(LONGEST_SILENCE_SECONDS, lambda: _has_hung_up(client))
    return close_without_answer()


def pause(seconds: float) -> None:
    """Sleep, but no longer than the server lives."""
    _wait(seconds, lambda: False)


def still_serving() -> bool:
    """False as soon as the server has been told to stop; whoever waits or streams asks this."""
    check: Callable[[], bool] = current_app.config["STILL_SERVING"]
    return check()


def _wait(seconds: float, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and still_serving() and not until():
        time.sleep(min(_GLANCE_SECONDS, left))


def _has_hung_up(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
