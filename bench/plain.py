"""The yardstick of `bench/hops.py`: a bare Flask view that does one Redis GET and one SET."""

from __future__ import annotations

import os

from flask import Flask, Response
from redis import Redis

app = Flask("plain")
redis = Redis.from_url(os.environ["REDIS_URL"])


@app.post("/callbacks/africastalking/ussd")
def view() -> Response:
    redis.get("plain")
    redis.set("plain", b"x" * 300)
    return Response("CON Hello", mimetype="text/plain")
