"""L7: what the outside world calls: gateway callbacks, health, metrics.

A view parses with the gateway's adapter, calls one use case, renders with the adapter. No rule of
money or menus lives here.
"""

BODY_BYTES_MOST = 64 * 1024
