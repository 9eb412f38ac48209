"""A person of the bench: their sessions, and what every screen of them must say, to the byte.

The screens are written out here and not asked of the catalogues, so that a wrong text, language,
amount, meter or name is seen. What nobody can foresee stands in pointed brackets.
"""

from __future__ import annotations

import random
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from app.cli.demo import PIN
from bench.callers import Hop, Session, WrongScreen
from bench.web import hop_request, new_session_id
from sandbox import meters
from tests.people import fresh_meter

PLAIN, READS, ASKS, PAYS = "no SQL", "SQL", "asks the biller", "PIN, waits for the outcome"
FEE, TAKEN_MOST = 10, 999  # of 101 to 999: one band of the demo market
LISTED_MOST = 5
UNFORESEEN = {
    "<ref>": r"(?P<ref>[0-9A-HJKMNP-TV-Z]{8})",
    "<token>": r"\d{4}(?:-\d{4}){4}",
    "<day>": r"\d\d/\d\d",
    "<time>": r"\d\d:\d\d",
    "<year>": r"\d{4}",
    "<state>": "paid|in progress|waiting|imelipwa|yanaendelea|yanasubiri",
}
_MARKS = re.compile("|".join(UNFORESEEN))

SCREENS = {
    "en": {
        "home": "CON {news}Kibanda\n1 Pay bill\n2 Send money\n3 Withdraw cash\n4 My payments\n"
        "5 Balance\n6 Lost token\n7 My account",
        "home_again": "CON {news}Kibanda\n1 Pay bill\n2 Pay {meter} again\n3 Send money\n"
        "4 Withdraw cash\n5 My payments\n6 Balance\n7 Lost token\n8 My account",
        "paid_news": "Last: KES {amount}.00 paid, ref {ref}.\n",
        "state": "paid",
        "progress_news": "Last: KES {amount}.00 still in progress. SMS follows.\n",
        "account": "CON My account\n1 Change PIN\n2 Language\n3 Fees and limits\n4 Help\n"
        "0 Back 00 Home",
        "fees": "CON Fees and limits\n1 Bills\n2 Send money\n3 Send by SMS code\n4 Withdraw cash\n"
        "5 My limits\n0 Back 00 Home",
        "bands": "END Bills:\nto KES 100.00: KES 5.00\nto KES 1,000.00: KES 10.00\n"
        "to KES 10,000.00: KES 25.00\nto KES 50,000.00: KES 50.00\nTax is in the fee.",
        "old_pin": "CON Enter your PIN now\n0 Back 00 Home",
        "categories": "CON Pay bill\nOr type first letters.\n1 Electricity\n2 Water\n"
        "3 School fees\n4 Clinic\n5 Insurance\n6 TV\n7 Mobile data\n8 Government fees\n"
        "0 Back 00 Home",
        "products": "CON Pay bill\nOr type first letters.\n1 Stima token\n2 Stima bill\n"
        "3 Jiji token\n4 Jiji bill\n0 Back 00 Home",
        "meter": "CON Stima token. Enter:\nMeter number, 11 digits\n0 Back 00 Home",
        "amount": "CON {name}\nNo. {meter}\nEnter amount, KES 50.00 to KES 50,000.00\n"
        "0 Back 00 Home",
        "slow": "END Stima token is slow now. Nothing was taken. Please dial again in a few "
        "minutes. Help: 0711000999",
        "confirm": "CON Pay KES {amount}.00 to Stima token\nNo. {meter}\n{name}\nFee KES 10.00\n"
        "Total KES {total}\nEnter PIN to pay\n0 Back 00 Home",
        "paid": "END Paid KES {amount}.00. Fee KES 10.00. Ref <ref>\nToken <token>\nNo. {meter}",
        "progress": "END Payment <ref> of KES {amount}.00 is in progress. An SMS follows. "
        "Do not pay again.",
        "none": "END You have no payments yet. Dial again to pay a bill.",
        "list": "CON My payments\n{lines}\n0 Back 00 Home",
        "line": "{place} <day> KES {amount}.00 {state}",
        "detail": "CON Stima token {meter}\nKES {amount}.00 fee KES 10.00\n<day>/<year> <time>\n"
        "Ref {ref}: {state}\nHelp: 0711000999\n1 Save this number\n0 Back 00 Home",
        "balance_pin": "CON Enter PIN to see your balance\n0 Back 00 Home",
        "balance": "END Balance KES {balance}\nSet aside for payments KES 0.00",
    },
    "sw": {
        "home": "CON {news}Kibanda\n1 Lipa bili\n2 Tuma pesa\n3 Toa pesa\n4 Malipo yangu\n"
        "5 Salio\n6 Tokeni iliyopotea\n7 Akaunti yangu",
        "home_again": "CON {news}Kibanda\n1 Lipa bili\n2 Lipa {meter} tena\n3 Tuma pesa\n"
        "4 Toa pesa\n5 Malipo yangu\n6 Salio\n7 Tokeni iliyopotea\n8 Akaunti yangu",
        "paid_news": "Mwisho: KES {amount}.00 imelipwa, kumb {ref}.\n",
        "state": "imelipwa",
        "progress_news": "Mwisho: KES {amount}.00 bado inashughulikiwa. Utapata SMS.\n",
        "account": "CON Akaunti yangu\n1 Badilisha PIN\n2 Lugha\n3 Ada na viwango\n4 Msaada\n"
        "0 Rudi 00 Mwanzo",
        "fees": "CON Ada na viwango\n1 Bili\n2 Tuma pesa\n3 Tuma kwa msimbo wa SMS\n4 Toa pesa\n"
        "5 Viwango vyangu\n0 Rudi 00 Mwanzo",
        "bands": "END Bili:\nhadi KES 100.00: KES 5.00\nhadi KES 1,000.00: KES 10.00\n"
        "hadi KES 10,000.00: KES 25.00\nhadi KES 50,000.00: KES 50.00\nKodi imo ndani ya ada.",
        "old_pin": "CON Weka PIN yako ya sasa\n0 Rudi 00 Mwanzo",
        "categories": "CON Lipa bili\nAu andika herufi za kwanza.\n1 Umeme\n2 Maji\n"
        "3 Ada ya shule\n4 Kliniki\n5 Bima\n6 TV\n7 Data ya simu\n8 Ada za serikali\n"
        "0 Rudi 00 Mwanzo",
        "products": "CON Lipa bili\nAu andika herufi za kwanza.\n1 Stima token\n2 Stima bill\n"
        "3 Jiji token\n4 Jiji bill\n0 Rudi 00 Mwanzo",
        "meter": "CON Stima token. Weka:\nNamba ya mita, tarakimu 11\n0 Rudi 00 Mwanzo",
        "amount": "CON {name}\nNamba {meter}\nWeka kiasi, KES 50.00 hadi KES 50,000.00\n"
        "0 Rudi 00 Mwanzo",
        "slow": "END Stima token inachelewa sasa. Hakuna kilichokatwa. Tafadhali piga tena baada "
        "ya dakika chache. Msaada: 0711000999",
        "confirm": "CON Lipa KES {amount}.00 kwa Stima token\nNamba {meter}\n{name}\n"
        "Ada KES 10.00\nJumla KES {total}\nWeka PIN kulipa\n0 Rudi 00 Mwanzo",
        "paid": "END Umelipa KES {amount}.00. Ada KES 10.00. Kumb <ref>\nTokeni <token>\n"
        "Namba {meter}",
        "progress": "END Malipo <ref> ya KES {amount}.00 yanashughulikiwa. Utapata SMS. "
        "Usilipe tena.",
        "none": "END Bado huna malipo. Piga tena kulipa bili.",
        "list": "CON Malipo yangu\n{lines}\n0 Rudi 00 Mwanzo",
        "line": "{place} <day> KES {amount}.00 {state}",
        "detail": "CON Stima token {meter}\nKES {amount}.00 ada KES 10.00\n<day>/<year> <time>\n"
        "Kumb {ref}: {state}\nMsaada: 0711000999\n1 Hifadhi namba hii\n0 Rudi 00 Mwanzo",
        "balance_pin": "CON Weka PIN kuona salio\n0 Rudi 00 Mwanzo",
        "balance": "END Salio KES {balance}\nZilizotengwa kwa malipo KES 0.00",
    },
}


@dataclass
class Payment:
    """What was confirmed with a PIN; `paid` once a screen said so, `ref` as the screen told it."""

    meter: str
    amount: int
    ref: str = ""
    paid: bool = False


@dataclass
class _Call:
    """One session: its id and what was typed in it so far."""

    msisdn: str
    id: str = field(default_factory=new_session_id)
    typed: list[str] = field(default_factory=list)

    def hop(self, typed: str, kind: str) -> Hop:
        if typed:
            self.typed.append(typed)
        return Hop(hop_request(self.id, self.msisdn, "*".join(self.typed)), kind)


@dataclass
class Person:
    """Somebody who dials again and again; `start` is their balance in whole shillings.

    `crowded` counts payments that were turned away with nothing taken, as is promised where more
    people wait for a biller than there are places to wait.
    """

    msisdn: str
    language: str
    start: int
    payments: list[Payment] = field(default_factory=list)
    crowded: int = 0

    def browse(self) -> Session:
        """Look around: 8 hops, 7 without SQL."""
        call, home, again = yield from self._dial()
        account = "8" if again else "7"
        for typed, screen in ((account, "account"), ("0", home), (account, "account")):
            yield from self._at(call, typed, PLAIN, self._say(screen))
        for typed, screen in (("1", "old_pin"), ("0", "account"), ("3", "fees"), ("1", "bands")):
            yield from self._at(call, typed, PLAIN, self._say(screen))

    def look_back(self) -> Session:
        """The list of payments, twice, and the latest of them: 5 hops; 2 while there is none."""
        call, home, again = yield from self._dial()
        listed = "5" if again else "4"
        if not self.payments:
            yield from self._at(call, listed, READS, self._say("none"))
            return
        yield from self._at(call, listed, READS, self._list())
        yield from self._at(call, "0", PLAIN, home)
        yield from self._at(call, listed, READS, self._list())
        last = self.payments[-1]
        facts = {"meter": last.meter, "amount": last.amount, "ref": last.ref}
        detail = self._say("detail", **facts, state=self._state(last))
        yield from self._at(call, "1", READS, detail)

    def pay(self) -> Session:
        """A whole payment of a meter of its own: 7 hops, and the money moves once."""
        meter, amount = fresh_meter(), random.randint(101, TAKEN_MOST)
        facts = {"meter": meter, "amount": amount, "name": meters.owner(meter)}
        facts["total"] = f"{amount + FEE:,}.00"
        call, _, _ = yield from self._dial()
        yield from self._at(call, "1", PLAIN, self._say("categories"))
        yield from self._at(call, "1", PLAIN, self._say("products"))
        yield from self._at(call, "1", PLAIN, self._say("meter"))
        asked = (self._say("amount", **facts), self._say("slow"))
        _, which = yield from self._at(call, meter, ASKS, *asked)
        if which:
            self.crowded += 1
            return
        yield from self._at(call, str(amount), READS, self._say("confirm", **facts))
        payment = Payment(meter, amount)
        self.payments.append(payment)
        told = (self._say("paid", **facts), self._say("progress", **facts))
        payment.ref, which = yield from self._at(call, PIN, PAYS, *told)
        payment.paid = which == 0

    def look_at_balance(self) -> Session:
        """What is left, to the cent, after everything came to rest."""
        call, _, again = yield from self._dial()
        yield from self._at(call, "6" if again else "5", PLAIN, self._say("balance_pin"))
        left = self.start - sum(payment.amount + FEE for payment in self.payments)
        yield from self._at(call, PIN, READS, self._say("balance", balance=f"{left:,}.00"))

    def at_rest(self) -> None:
        """Every payment has come to its end: from now on nothing may say "in progress"."""
        for payment in self.payments:
            payment.paid = True

    def _dial(self) -> Generator[Hop, str, tuple[_Call, str, bool]]:
        """A call, its home screen to the byte, and whether that offers to pay again."""
        call = _Call(self.msisdn)
        homes = self._homes()
        _, which = yield from self._at(call, "", READS, *homes)
        home = homes[which]
        if self.payments and self._news(self.payments[-1], "paid_news") in home:
            self.payments[-1].paid = True
        return call, home, home.splitlines()[-1].startswith("8")

    def _homes(self) -> Sequence[str]:
        """What home may say: a payment in progress may have been settled meanwhile."""
        if not self.payments:
            return [self._say("home", news="")]
        last = self.payments[-1]
        settled = self._say("home_again", news=self._news(last, "paid_news"), meter=last.meter)
        if last.paid:
            return [settled]
        news = self._news(last, "progress_news")
        homes = [settled, self._say("home", news=news)]
        for payment in reversed(self.payments):
            homes.append(self._say("home_again", news=news, meter=payment.meter))
            if payment.paid:
                break
        return homes

    def _news(self, payment: Payment, name: str) -> str:
        return self._say(name, amount=payment.amount, ref=payment.ref)

    def _list(self) -> str:
        latest = enumerate(self.payments[: -LISTED_MOST - 1 : -1], 1)
        lines = [
            self._say("line", place=place, amount=one.amount, state=self._state(one))
            for place, one in latest
        ]
        return self._say("list", lines="\n".join(lines))

    def _state(self, payment: Payment) -> str:
        """Until it is known to be paid it may be paid all the same."""
        return self._say("state") if payment.paid else "<state>"

    def _say(self, name: str, /, **facts: object) -> str:
        """A screen of this person's language; a text that is no name stands for itself."""
        said = SCREENS[self.language].get(name, name)
        return said.format(**facts) if facts else said

    def _at(
        self, call: _Call, typed: str, kind: str, *screens: str
    ) -> Generator[Hop, str, tuple[str, int]]:
        """Send a reply; the reference on the screen, if any, and which of `screens` it was.

        Raises WrongScreen for any other body.
        """
        body = yield call.hop(typed, kind)
        for which, screen in enumerate(screens):
            if body == screen:
                return "", which
            if _MARKS.search(screen) and (found := _pattern(screen).fullmatch(body)):
                return found.groupdict().get("ref", ""), which
        raise WrongScreen(f"hop {len(call.typed)} ({kind}): {body!r} and not {screens[0]!r}")


def _pattern(screen: str) -> re.Pattern[str]:
    return re.compile(_MARKS.sub(lambda mark: f"(?:{UNFORESEEN[mark[0]]})", re.escape(screen)))
