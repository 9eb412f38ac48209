"""What both IAK-like families have in common: who may ask, the codes, and the callback.

1. What forms no transaction is said with HTTP 400, in this family's own body.
2. The callback's signature does not cover what it says.
"""

import itertools
import json
import time
from typing import Any

from sandbox.billers.accounts import BillerAccount
from sandbox.billers.family import LONGEST_REF, Asked, Biller, World
from sandbox.billers.transactions import PENDING, UNDONE, Transaction
from sandbox.billers.webhooks import Message

FAILED = "07"
MESSAGES = {
    "00": "SUCCESS",
    "01": "INVOICE HAS BEEN PAID",
    "06": "TRANSACTION NOT FOUND",
    "07": "FAILED",
    "11": "DUPLICATE REF ID",
    "14": "INCORRECT DESTINATION NUMBER",
    "17": "INSUFFICIENT DEPOSIT",
    "20": "CODE NOT FOUND",
    "37": "FAILED",
    "39": "PROCESS",
    "42": "PAYMENT NEVER RECEIVED",
    "102": "INVALID SIGN",
    "106": "PRODUCT IS TEMPORARILY OUT OF SERVICE",
    "205": "WRONG COMMAND",
}
_STATUSES = {"00": 1, "39": 0, "42": 0}  # every other code is status 2
_WORDS = {PENDING: "39", UNDONE: FAILED}
NOT_FORMED = 400


class Iak(Biller):
    """One of either family."""

    def __init__(self, account: BillerAccount, world: World) -> None:
        super().__init__(account, world)
        self._hooks = self._webhooks(world, self._callback)
        self._numbers = itertools.count(int(time.time() * 1000))

    def _refusal(self, asked: Asked, subject: str, *names: str) -> str:
        """The code by which a request is turned away at the door, or an empty one."""
        texts = [asked.text(name) for name in ("username", "sign", *names)]
        if not all(texts) or len(asked.text("ref_id")) > LONGEST_REF:
            return "205"
        right = asked.text("username") == self.account.username
        return "" if right and self._signed(asked.text("sign"), subject) else "102"

    def _callback(self, ref_id: str, wrong: bool) -> Message:
        transaction = self.till.find(ref_id)
        assert transaction is not None
        sign = "0" * 32 if wrong else self._sign(ref_id)
        body = {"data": {**self._told_back(transaction), "sign": sign}}
        return Message(json.dumps(body).encode())

    def _told_back(self, transaction: Transaction) -> dict[str, Any]:
        raise NotImplementedError


def word_of(transaction: Transaction) -> str:
    word = transaction.rc_at(time.time())
    return _WORDS.get(word, word)


def status_of(rc: str) -> int:
    return _STATUSES.get(rc, 2)
