"""How the operator calls us: a form by POST, and a new connection for every request."""

import requests
from requests import RequestException, Response, Timeout

__all__ = ["CONNECT_SECONDS", "NETWORK_CODE", "RequestException", "Response", "Timeout", "post"]

NETWORK_CODE = "99999"  # the operator's sandbox network
CONNECT_SECONDS = 10.0


def post(url: str, *, token: str, form: dict[str, str], timeout: tuple[float, float]) -> Response:
    """Post a form to a callback of ours; the body is unread. Raises RequestException.

    No connection is kept: one that the server closes at the wrong moment would look like an error
    of ours, and the cure for that, a retry, is a kindness that the operator does not have. Nor are
    redirects followed or proxies of the environment used.
    """
    session = requests.Session()
    session.trust_env = False
    session.headers["Connection"] = "close"
    return session.post(
        url,
        params={"token": token},
        data=form,
        timeout=timeout,
        allow_redirects=False,
        stream=True,
    )
