"""From the kind and the facts of a notice to its text, in the person's language: GSM-7, one part.

Amounts become the market's currency, times its local time, tokens groups that can be read out.
Names come from people and billers: they are clipped and lose what GSM-7 has not, so that a name
can neither push a receipt into a second part nor turn it into UCS-2. A wide language, one that
GSM-7 cannot write, is UCS-2 anyway: its receipts have at most three parts, and names keep their
letters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from app.billers import tokens
from app.markets import Market
from app.text import Catalogues
from app.text.names import lettered, plain
from app.text.width import is_gsm7, septets, sms_parts
from app.wallet.codes import DIGITS_MOST as CODE_DIGITS_MOST

ROOM = "sms."
BILLS = ("bill_payment", "agent_bill")
# What tells of a sale has three sentences, by how many tokens the biller gave for it: none, one,
# more. Every other kind has the sentence of its name, which is all that a new kind needs.
_SOLD = ("payment_paid", "bill_paid_for_you")
_NO_TOKEN, _TOKENS = "_no_token", "_tokens"
_VARIANTS = tuple(kind + end for kind in _SOLD for end in (_NO_TOKEN, _TOKENS))
TOKENS_MOST = 3  # two of a key change, one of credit (IEC 62055-41)
# Stands in the stored text where the sender puts a one-time code. No fact can hold it: names lose
# their braces.
CODE_MARK = "{code}"
_CHARS_MOST = {"name": 20, "product": 20, "customer_no": 20, "reference": 12, "service_code": 20}
_OTHER_CHARS_MOST = 20
WIDE_PARTS_MOST = 3


class ReceiptError(Exception):
    """A notice that cannot be put into words; the text names the kind and what is wrong."""


def render(
    catalogues: Catalogues, market: Market, kind: str, language: str, facts: Mapping[str, Any]
) -> str:
    """The SMS of a notice. A language that the market has dropped becomes its default.

    Raises ReceiptError for an unknown kind and for whatever is wrong with the facts.
    """
    if language not in catalogues.languages:
        language = market.default_language
    try:
        words = _words(market, facts, wide=catalogues.wide(language))
        return catalogues.say(language, f"{ROOM}{_sentence(kind, facts)}", words)
    except Exception as error:  # one notice of many: whatever it is must not hold up the others
        lacking = f" {error}" if isinstance(error, KeyError) else ""  # other texts quote the facts
        raise ReceiptError(f"{kind}: {type(error).__name__}{lacking}") from error


def sentences(catalogues: Catalogues) -> list[str]:
    """The names of all sentences that any language has."""
    keys = {key for language in catalogues.languages for key in catalogues.keys(language)}
    return sorted(key.removeprefix(ROOM) for key in keys if key.startswith(ROOM))


def faults(catalogues: Catalogues, market: Market) -> Iterator[str]:
    """What `check` has to say of each sentence in each language, with a market's longest facts."""
    for name in sentences(catalogues):
        places = {
            language: _places(catalogues, language, name) for language in catalogues.languages
        }
        for language, found in places.items():
            where = f"sms.{name} in {language}"
            if found is None:
                yield f"{where}: there is no sentence"
                continue
            if found != places[market.default_language]:
                yield f"{where}: other facts than in {market.default_language}"
            wide = catalogues.wide(language)
            words = _words(market, longest_facts(market, name), wide=wide)
            fault = _too_wide(catalogues.say(language, f"sms.{name}", words), wide=wide)
            if fault:
                yield f"{where}: {fault}"


def _too_wide(text: str, *, wide: bool) -> str:
    """What is wrong with the width of an SMS; "" for nothing."""
    parts = sms_parts(text)
    if wide:
        return f"{parts} parts of {WIDE_PARTS_MOST}" if parts > WIDE_PARTS_MOST else ""
    if not is_gsm7(text):
        return "not GSM-7"
    return f"{septets(text)} septets" if parts > 1 else ""


def longest_facts(market: Market, sentence: str) -> dict[str, Any]:
    """Facts of every kind, each as long as this market lets it be in that sentence."""
    products = [product for biller in market.billers.values() for product in biller.products]
    bill = sentence.startswith(("payment_", "bill_"))
    amount = max(tier.per_transaction_minor for tier in market.tiers.values())
    if bill:
        amount = max(product.most_minor for product in products)
    fee = max(
        band.fee_minor
        for operation, dated in market.tariffs.items()
        if not bill or operation.endswith(BILLS)
        for tariff in dated
        for band in tariff.bands
    )
    # What is given back may lift a full wallet above its limit.
    balance = max(tier.balance_minor for tier in market.tiers.values()) + amount + fee
    return {
        "amount_minor": amount,
        "fee_minor": fee,
        "total_minor": amount + fee,
        "balance_minor": balance,
        "received_minor": amount,
        "held_minor": amount,
        "once_minor": max(tier.per_transaction_minor for tier in market.tiers.values()),
        "day_minor": max(tier.per_day_minor for tier in market.tiers.values()),
        "float_minor": max(tariff.most_minor for tariff in market.tariffs["float_move"]),
        "token": str(tokens.LARGEST),
        "tokens": [str(tokens.LARGEST)] * TOKENS_MOST,
        "reference": "M" * 10,
        "product": max((product.name for product in products), key=len),
        "customer_no": "8" * max(product.customer.most for product in products),
        "name": "M" * 40,
        "agent": "8" * 6,
        "to": "8" * 15,
        "service_code": max(market.service_codes, key=len),
        "code": "8" * CODE_DIGITS_MOST,
        "minutes": market.pin.lock_seconds // 60,
        "at": "2026-12-28T23:58:00+00:00",
        "until": "2026-12-28T23:58:00+00:00",
        "by": "2026-12-28T23:58:00+00:00",
    }


def _sentence(kind: str, facts: Mapping[str, Any]) -> str:
    if kind in _VARIANTS:
        raise ValueError("no kind of its own")
    if kind not in _SOLD:
        return kind
    count = len(facts["tokens"]) if "tokens" in facts else 1
    return kind + {0: _NO_TOKEN, 1: ""}.get(count, _TOKENS)


def _words(market: Market, facts: Mapping[str, Any], *, wide: bool) -> dict[str, str]:
    """The facts as people read them: `amount_minor` becomes `amount`, and so on."""
    written = lettered if wide else plain
    words = {"care": market.care_number, "service_code": market.service_codes[0]}
    for name, value in facts.items():
        if name.endswith("_minor"):
            words[name.removesuffix("_minor")] = market.currency.format(value)
        elif name in ("at", "until", "by"):
            local = datetime.fromisoformat(value).astimezone(market.zone)
            words[name] = local.strftime("%d/%m %H:%M")
        elif name == "tokens":
            groups = [_token(token) for token in value]
            words[name] = " ".join(groups)
            if len(groups) == 1:
                words["token"] = groups[0]
        elif name == "token":
            words[name] = _token(value)
        else:
            words[name] = written(str(value), _CHARS_MOST.get(name, _OTHER_CHARS_MOST))
    if "code_id" in facts:
        words["code"] = CODE_MARK
    return words


def _token(written: str) -> str:
    digits = tokens.parse(written)
    return plain(written, 24) if digits is None else tokens.grouped(digits)


def _places(catalogues: Catalogues, language: str, name: str) -> set[str] | None:
    key = f"sms.{name}"
    return catalogues.placeholders(language, key) if catalogues.has(language, key) else None
