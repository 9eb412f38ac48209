"""How the outside calls us: a form or a body by POST, a new connection for every request."""

from collections.abc import Mapping
from typing import Any

import requests
from requests import RequestException, Response, Timeout

__all__ = [
    "CONNECT_SECONDS",
    "NETWORK_CODE",
    "RequestException",
    "Response",
    "Timeout",
    "post",
    "post_body",
]

NETWORK_CODE = "99999"  # the operator's sandbox network
CONNECT_SECONDS = 10.0


def post(url: str, *, token: str, form: dict[str, str], timeout: tuple[float, float]) -> Response:
    """Post a form to a callback of ours; the body is unread. Raises RequestException."""
    return _post(url, params={"token": token}, data=form, timeout=timeout)


def post_body(
    url: str, body: bytes, *, headers: Mapping[str, str], timeout: tuple[float, float]
) -> Response:
    """Post JSON, to the byte as it was signed. Raises RequestException."""
    typed = {"Content-Type": "application/json", **headers}
    return _post(url, data=body, headers=typed, timeout=timeout)


def _post(url: str, **request: Any) -> Response:
    """No connection is kept: one that the server closes at the wrong moment would look like an
    error of ours, and the cure for that, a retry, is a kindness that the operator does not have.
    Nor are redirects followed or proxies of the environment used.
    """
    session = requests.Session()
    session.trust_env = False
    session.headers["Connection"] = "close"
    return session.post(url, allow_redirects=False, stream=True, **request)
