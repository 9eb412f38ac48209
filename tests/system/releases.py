"""The web process of this release, or of the one before, by what stands in a file.

gunicorn --config gunicorn.conf.py "tests.system.releases:create_web()"
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from flask import Flask

from app.factory import build_runtime
from app.ussd.engine import Engine
from app.ussd.menus import books
from app.web import callbacks, status

OVERLAP_SECONDS = 5.0
FILE = "RELEASE_FILE"
BEFORE, NOW = "before", "now"


def create_web() -> Flask:
    """The release of BEFORE knows only its own menus; that of NOW knows both."""
    runtime = build_runtime()
    now, before = books(runtime.market)
    release = Path(os.environ[FILE]).read_text()
    engine = Engine(
        [before] if release == BEFORE else [now, before],
        runtime.engine.around,
        runtime.sessions,
        wait_places=8,  # more than callers: this is about menus, not about places to wait
        overlap_seconds=OVERLAP_SECONDS,
    )
    runtime = replace(runtime, engine=engine)
    app = Flask("releases")
    app.register_blueprint(callbacks.blueprint(runtime))
    app.register_blueprint(status.blueprint(runtime))
    return app
