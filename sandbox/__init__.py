"""The outside world, played by one process: Africa's Talking's gateway, billers, bank and phones.

What lives here speaks other people's wire formats and keeps their manners, the bad ones too. It
imports nothing of `app`: the two meet only over HTTP. It must never gain a kindness that the real
operator lacks (no retry by the phone, no repair of a malformed answer, no patience beyond the
operator's deadline).
"""

from sandbox.factory import create_app

__all__ = ["create_app"]
