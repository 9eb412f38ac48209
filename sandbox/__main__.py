"""`python -m sandbox`: serve the outside world on 127.0.0.1:SANDBOX_PORT until told to stop."""

import socket
import sys
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]

from sandbox import create_app
from sandbox.settings import Settings, SettingsError, from_environment

_THREADS = 256  # of which silent billers hold up to 32 each
_STOP_SECONDS = 4


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with one worker: the state is in memory, a second one would be a second world."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"127.0.0.1:{self._settings.port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": _THREADS,
            "graceful_timeout": _STOP_SECONDS,
            "keepalive": 1,
            "loglevel": "warning",
            "control_socket_disable": True,
            "post_worker_init": _tell_when_stopping,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._settings)


def _tell_when_stopping(worker: Any) -> None:
    """Held and streaming requests end by themselves as soon as the worker is told to stop."""
    worker.wsgi.config["STILL_SERVING"] = lambda: worker.alive


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main() -> None:
    try:
        settings = from_environment()
    except SettingsError as error:
        sys.exit(f"sandbox: {error}")
    for name, port in settings.ports:
        if not _port_is_free(port):
            sys.exit(f"sandbox: port {port} is taken; set {name} to a free one")
    _Server(settings).run()


if __name__ == "__main__":
    main()
