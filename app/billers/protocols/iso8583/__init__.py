"""Billers that speak ISO 8583 over TCP: `opening`, `frames`, `connection` and `link` carry the
bytes, `messages` writes and reads them, `family` says what they mean for a payment.
"""

from app.billers.protocols.iso8583.family import Iso8583

__all__ = ["Iso8583"]
