"""L6: how much may come from one number and begin at one gateway, and who hears of it.

1. A hop is counted in the script that takes its lock and loads its session (`session`): the limits
   cost no round trip, and where Redis is away nobody is refused for their sake.
2. Counted are hops and new sessions of a number, each in a window that begins with the first and
   ends by itself; what is refused lengthens nothing. So a number is free again within a minute,
   and there are at most two small keys a number that dialled within it, less than its session.
3. Only what a number may send is counted for the gateway, and only new sessions: one number that
   floods takes nothing of the others, and whoever is inside a menu finishes.
4. A refused hop runs nothing and changes no session: a redial goes on where the person was, and
   tells what became of a payment.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.telemetry import FLOODS, Seldom
from app.ussd.live import decode

HOPS_WINDOW_MS, DIALS_WINDOW_MS, GATEWAY_WINDOW_MS = 10_000, 60_000, 1_000
LANGUAGE_MOST = 8

# Goes before the script that begins a hop. ARGV[3] … ARGV[5]: the most of each window.
COUNT = b"""
local function over(key, most, window)
  local count = redis.call('INCR', key)
  if count == 1 then redis.call('PEXPIRE', key, window) end
  return count > tonumber(most)
end
local known = redis.call('GET', KEYS[1])
local limit = over(KEYS[3] .. ':hops', ARGV[3], %d) and 'h'
if not limit and not known then
  limit = over(KEYS[3] .. ':dials', ARGV[4], %d) and 'd' or over(KEYS[4], ARGV[5], %d) and 'g'
end
if limit then
  local last = not known and redis.call('GET', KEYS[3])
  return '!' .. limit .. (known or last and redis.call('GET', last) or '')
end
""" % (HOPS_WINDOW_MS, DIALS_WINDOW_MS, GATEWAY_WINDOW_MS)
OVER = b"!"  # then one letter of `LIMITS`, then the session by which the language is known
LIMITS = {b"h": "number_hops", b"d": "number_dials", b"g": "gateway_dials"}

_flooded = Seldom("ussd_flood")


@dataclass(frozen=True, slots=True)
class Most:
    """What may come: hops of a number in ten seconds, its dials in a minute, a gateway's dials in
    a second.
    """

    number_hops: int
    number_dials: int
    gateway_dials: int

    def arguments(self) -> tuple[bytes, bytes, bytes]:
        return b"%d" % self.number_hops, b"%d" % self.number_dials, b"%d" % self.gateway_dials


def told(answer: bytes, *, gateway: str, msisdn: str) -> tuple[str, str | None]:
    """Count a refusal; the name of the engine's sentence for it, and the phone's language."""
    limit = LIMITS[answer[1:2]]
    FLOODS.labels(limit, gateway).inc()
    _flooded.error((limit, gateway), limit=limit, gateway=gateway, latest=msisdn)
    return "crowded" if limit == "gateway_dials" else "flooding", _language(answer[2:])


def _language(stored: bytes) -> str | None:
    """The language of a stored session, whatever became of it; None when that cannot be known."""
    if stored[:1] == b"-":  # continued by another session
        return stored[1:].decode()[:LANGUAGE_MOST]
    try:
        return decode(stored).language
    except (ValueError, TypeError):
        return None
