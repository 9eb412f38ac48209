"""The judge finds each wrong that phones, billers, the SMS gateway, the bank or a log have seen."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from tests.torture.storm.judging.evidence import Evidence, Spell
from tests.torture.storm.lived import Lived


def _confirmed(seen: Evidence, *words: str) -> dict[str, Any]:
    """The record of an answer to a confirmation that begins with one of these words."""
    hops = {(one.session, one.hop) for one in seen.confirmations}
    return next(
        record
        for record in seen.of("shown")
        if (record["session"], record["hop"]) in hops
        and record["body"].startswith(tuple(f"END {word}" for word in words))
    )


def _sold(seen: Evidence) -> tuple[str, dict[str, Any]]:
    return next((code, sales[0]) for code, sales in seen.sales.items() if sales)


def _delivered_again(seen: Evidence, record: dict[str, Any], body: str, at: float = 0.0) -> None:
    """Another answer to a hop, a moment later."""
    number = 900_000 + len(seen.records)
    again = {**record, "id": number, "delivery": "again", "at": (at or record["at"]) + 0.1}
    seen.records += [{**again, "kind": "sent"}, {**again, "body": body}]


def _sell_twice(seen: Evidence) -> None:
    code, sale = _sold(seen)
    seen.sales[code].append(sale)


def _sell_nothing(seen: Evidence) -> None:
    code, _ = _sold(seen)
    seen.sales[code].clear()


def _sell_what_was_given_back(seen: Evidence) -> None:
    told = " ".join(one["text"] for one in seen.taken if "was not paid" in one["text"])
    given_back = next(
        one for one in seen.confirmations if one.flow == "bill" and f" {one.party} was" in told
    )
    sale = {"customer_no": given_back.party, "amount": given_back.amount_minor / 100}
    for sales in seen.sales.values():
        sales.append(sale)


def _sell_for_another_amount(seen: Evidence) -> None:
    _, sale = _sold(seen)
    sale["amount"] += 1


def _sell_to_somebody_else(seen: Evidence) -> None:
    seen.sales["stima"].append({"customer_no": "1", "amount": 1})


def _lose_receipts(seen: Evidence) -> None:
    seen.taken = [one for one in seen.taken if not one["text"].startswith("Sent ")]


def _send_another_text(seen: Evidence) -> None:
    sms = next(one for one in seen.taken if one["text"].startswith("Sent "))
    seen.taken.append({**sms, "text": sms["text"][:-5] + "00:00"})


def _send_a_receipt_of_nothing(seen: Evidence) -> None:
    sms = next(one for one in seen.taken if one["text"].startswith("Sent "))
    reference = sms["text"].partition("Ref ")[2][:8]
    seen.taken.append({**sms, "text": sms["text"].replace(reference, "ZZZZZZZZ")})


def _send_a_wrong_amount(seen: Evidence) -> None:
    sms = next(one for one in seen.taken if one["text"].startswith("Sent KES "))
    amount = sms["text"].partition("KES ")[2].partition(" ")[0]
    sms["text"] = sms["text"].replace(amount, "1.23", 1)


def _send_rubbish(seen: Evidence) -> None:
    seen.taken.append({**seen.taken[0], "text": "Hello {name}"})


def _refuse_what_moved(seen: Evidence) -> None:
    _confirmed(seen, "Sent ")["body"] = (
        "END The time to confirm is over. Dial again. Nothing was taken. Help: 0711000999"
    )


def _deny_in_a_redial(seen: Evidence) -> None:
    """The next dial after a send says that it was not done."""
    done = _confirmed(seen, "Sent ")
    began = next(
        one for one in seen.of("shown") if one["session"] == done["session"] and one["hop"] == 0
    )
    began["body"] = "CON Kibanda\n1 Pay bill"
    seen.records = [
        one
        for one in seen.records
        if one.get("msisdn") != done["msisdn"] or one.get("session") in (None, done["session"])
    ]
    dial = {**done, "session": "later", "hop": 0, "at": done["at"] + 60}
    _delivered_again(seen, dial, "CON Last payment not done. Nothing was taken.\nKibanda")


def _deny_after_all(seen: Evidence) -> None:
    for msisdn in seen.redials:
        seen.redials[msisdn] = "Last payment not done. Nothing was taken.\nKibanda\n1 Pay bill"


def _leave_one_out(seen: Evidence) -> None:
    seen.redials.clear()


def _tell_of_another(seen: Evidence) -> None:
    for dial in seen.of("shown"):
        if dial["hop"] == 0:
            dial["body"] = "CON Last: KES 1.00 done, ref ZZZZZZZZ.\nKibanda"


def _answer_other_bytes(seen: Evidence) -> None:
    shown = next(one for one in seen.of("shown") if one["hop"] == 1)
    _delivered_again(seen, shown, "CON Something else")


def _forget_an_outcome_with_redis(seen: Evidence) -> None:
    """An outcome stays an outcome also where Redis was lost between."""
    shown = _confirmed(seen, "Sent ")
    _delivered_again(seen, shown, "CON Kibanda\n1 Pay bill")
    seen.spells.append(Spell(shown["at"] - 1, shown["at"] + 1, frozenset({"redis"})))


def _give_a_try_back(seen: Evidence) -> None:
    dial = next(one for one in seen.of("shown") if one["hop"] == 1)
    for number in (1, 2):
        one = {**dial, "msisdn": "+254700000000", "session": f"s{number}", "hop": 1}
        seen.records.append({**one, "kind": "mistyped", "confirming": False})
        _delivered_again(seen, one, "CON Wrong PIN. Tries left: 2.\nEnter PIN")


def _answer_500(seen: Evidence) -> None:
    seen.of("shown")[0].update(status=500, body="<h1>Internal Server Error</h1>")


def _leak_a_pin(seen: Evidence) -> None:
    pin = seen.secrets["PIN 1"]
    seen.stores["log of web"] += base64.b64encode(f"text={pin}".encode())


def _leak_a_code(seen: Evidence) -> None:
    code = next(
        one["text"].partition("Code ")[2][:8] for one in seen.taken if "sent you KES" in one["text"]
    )
    seen.stores["database"] += f"\t{code}\n".encode()


def _look_nowhere(seen: Evidence) -> None:
    seen.stores.clear()


def _pin_of_four(seen: Evidence) -> None:
    seen.secrets["PIN 1"] = "7391"


def _bank_has_more(seen: Evidence) -> None:
    seen.bank_minor += 1


def _let_wait(seen: Evidence, what: str) -> None:
    for look in seen.of("look")[-2:]:
        look[what].append("7Q4M2XKD")


def _payments_wait(seen: Evidence) -> None:
    _let_wait(seen, "payments")


def _messages_wait(seen: Evidence) -> None:
    _let_wait(seen, "messages")


OUTSIDE: dict[str, Callable[[Evidence], None]] = {
    "I5: bill": _sell_nothing,
    "sold it 2 times": _sell_twice,
    "is released, ": _sell_what_was_given_back,
    "sold ": _sell_for_another_amount,
    "and nobody paid": _sell_to_somebody_else,
    "has no send_sent": _lose_receipts,
    "different send_sent": _send_another_text,
    "which the books do not have": _send_a_receipt_of_nothing,
    "that says 123": _send_a_wrong_amount,
    "that no catalogue has": _send_rubbish,
    "was told refusals.intent_expired": _refuse_what_moved,
    "a redial said that send": _deny_in_a_redial,
    "after the storm a redial says": _deny_after_all,
    "could not dial after the storm": _leave_one_out,
    "which is not theirs": _tell_of_another,
    "delivered again (again) 'CON Something": _answer_other_bytes,
    "delivered again (again) 'CON Kibanda": _forget_an_outcome_with_redis,
    "had 2 tries left 2 times": _give_a_try_back,
    "was answered 500": _answer_500,
    "log of web holds PIN 1 as base64": _leak_a_pin,
    "database holds a code of 8 digits": _leak_a_code,
    "database was not looked at": _look_nowhere,
    "proves nothing": _pin_of_four,
    "I10: trust_bank grew by": _bank_has_more,
    "I11: payments 7Q4M2XKD": _payments_wait,
    "I11: messages 7Q4M2XKD": _messages_wait,
}


@pytest.mark.parametrize("expected", OUTSIDE)
def test_a_wrong_that_the_outside_saw_is_found(expected: str, lived: Lived) -> None:
    seen = replace(deepcopy(lived.evidence))
    OUTSIDE[expected](seen)
    found = lived.verdict(seen)
    assert any(expected in line for line in found), found


def test_the_journal_keeps_no_pin(lived: Lived) -> None:
    kept = json.dumps(lived.evidence.records)
    assert not [name for name, pin in lived.evidence.secrets.items() if pin in kept]


def test_a_sale_that_was_undone_was_one(lived: Lived) -> None:
    """A lost webhook is no fault: the biller's daily file tells of it."""
    seen = replace(deepcopy(lived.evidence))
    code, sale = _sold(seen)
    seen.sales[code].remove(sale)
    seen.undone[code].append(sale)
    assert lived.verdict(seen) == []


@pytest.mark.parametrize("confirming", [True, False])
def test_not_done_may_be_about_what_was_given_up_since(lived: Lived, confirming: bool) -> None:
    """A wrong PIN for something else and then nothing: it is that which was not done."""
    seen = replace(deepcopy(lived.evidence))
    done = _confirmed(seen, "Sent ")
    _deny_after_all(seen)
    wrong = {**done, "kind": "mistyped", "session": "later", "at": time.time()}
    for msisdn in seen.redials:
        seen.records.append({**wrong, "msisdn": msisdn, "confirming": confirming})
    denied = [line for line in lived.verdict(seen) if line.startswith("I8: after the storm")]
    assert bool(denied) is not confirming


@pytest.mark.parametrize(("seconds", "told"), [(0.3, False), (5.0, True)])
def test_a_redial_may_speak_of_either_of_two_phones_at_once(
    lived: Lived, seconds: float, told: bool
) -> None:
    seen = replace(deepcopy(lived.evidence))
    _deny_after_all(seen)
    last = {one["msisdn"]: one for one in seen.of("agreed")}
    for one in last.values():
        other = {**one, "session": "other", "amount_minor": 1, "at": one["at"] - seconds}
        seen.records.insert(seen.records.index(one), other)
    denied = [line for line in lived.verdict(seen) if line.startswith("I8: after the storm")]
    assert bool(denied) is told


def test_bad_weather_excuses_what_it_caused_and_nothing_else(lived: Lived) -> None:
    seen = replace(deepcopy(lived.evidence))
    shown = next(one for one in seen.of("shown") if one["hop"] == 1)
    _delivered_again(seen, shown, "CON Kibanda")
    _payments_wait(seen)
    assert {line[:3] for line in lived.verdict(seen)} == {"I4:", "I11"}
    times = [one["at"] for one in seen.of("look")] + [shown["at"]]
    seen.spells.append(Spell(min(times), max(times), frozenset({"redis"})))
    assert lived.verdict(seen) == []
