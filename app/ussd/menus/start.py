"""Arriving: who dials, what became of their last payment, and home.

A redial tells the outcome of the last intent (promise 5) as the first line of home, so that it
costs no reply. "Not done" is said only in the transaction that closes the intent.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.billers import favourites, payments
from app.billers.payments import PaymentView
from app.text.width import clip
from app.ussd.hop import NAME_MOST
from app.ussd.menus.services import Services, caller, open_with_pin
from app.ussd.states import Caller, End, Hop, Menu, Option, Resume, Secret, State, Step
from app.wallet import agents, intents, people, resets
from app.wallet.counter import withdrawals
from app.wallet.counter.withdrawals import WithdrawalView
from app.wallet.people import Person
from app.wallet.transfers import records
from app.wallet.transfers.records import TransferView

NEWS_FOR = timedelta(minutes=15)
NAME_BYTES_MOST = 24  # a session holds little
# What `arrive` puts into the session anew.
FRESH = ("agent", "news", "again", "again_as", "saved", "reset", "state")
OF_TRANSFERS = ("posted", "reversed", "code")
NEWS_OF_STATE = {
    "captured": "paid",
    "held": "progress",
    "sent": "progress",
    "unknown": "progress",
    "released": "returned",
    "cancelled": "returned",
    "manual": "manual",
    "returned": "manual",
    "paid_late": "returned",
}
NEWS_KEYS = tuple(
    f"menus.news.{key}"
    for key in (*dict.fromkeys(NEWS_OF_STATE.values()), "not_done", "open", *OF_TRANSFERS)
)


def arrive(hop: Hop[Services]) -> Caller | None:
    """Everything that a first screen needs, in one transaction; None for an unknown number.

    No screen says the caller's name and role, so the session has none.
    """
    person = hop.services.db.transact(lambda session: _read(hop, session), name="arrive")
    if person is None:
        return None
    hop.language = person.language
    if person.state == "invited":
        hop.data["name"], hop.data["invited"] = person.name, True
        return None
    return Caller(id=person.id, name="", role="")


def _read(hop: Hop[Services], session: Session) -> Person | None:
    person = people.find(session, hop.msisdn)
    if person is None:
        return None
    if person.state == "invited":
        return person
    if resets.open_request(session, person.id, hop.now) is not None:
        hop.data["reset"] = True
    if person.state != "active":
        hop.data["state"] = person.state
        hop.left = None
        return person
    if hop.left and "intent" in hop.left and intents.known(session, UUID(hop.left["intent"])):
        hop.left = None  # a PIN was on its way: what became of it is told, it is not asked again
    news = _news(hop, session, person)  # first: what it calls paid may be paid again below
    again = payments.last_customer(session, person.id, market=hop.market)
    saved = favourites.of_person(session, person.id)
    names = {(one.product_code, one.customer_no): one.nickname for one in saved}
    found = {
        "agent": _agent(session, person),
        "news": news,
        "again": list(again) if again else None,
        "again_as": names.get(again) if again else None,
        "saved": bool(saved),
    }
    hop.data.update({name: value for name, value in found.items() if value})
    return person


def _agent(session: Session, person: Person) -> list[Any] | None:
    """Code, name, whether it is a super-agent, whether it has one; None for who is no agent."""
    found = agents.of_person(session, person.id)
    if found is None or not agents.is_active(found):
        return None
    return [found.code, _short(found.name), found.is_super, found.parent_id is not None]


def _short(name: str) -> str:
    """As much of a name as a session has room for, in whatever letters."""
    fitting = (clip(name, most) for most in range(NAME_MOST, 1, -1))
    return next(shown for shown in fitting if len(shown.encode()) <= NAME_BYTES_MOST)


def _news(hop: Hop[Services], session: Session, person: Person) -> list[Any] | None:
    """Catalogue key and facts of what became of the last intent, if it is recent."""
    closed = intents.abandon(session, person.id, now=hop.now)
    if closed != "nothing_open":
        return ["not_done" if closed == "not_done" else "open", {}]
    last = intents.last_of_person(session, person.id)
    if last is None or last.created_at < hop.now - NEWS_FOR:
        return None
    if last.subject is None:
        return ["open" if last.state == "open" else "not_done", {}]
    if last.kind == "withdrawal_code":
        return _news_of_code(hop, session, last.subject)
    if last.kind != "bill_payment":
        done = records.outcome(session, last.subject)
        return [done.state, _facts(hop, done)]
    view = payments.outcome(session, last.subject)
    return [NEWS_OF_STATE[view.state_for_payer], _facts(hop, view)]


def _news_of_code(hop: Hop[Services], session: Session, withdrawal_id: UUID) -> list[Any]:
    """A code still waits, was paid out, or its money came back."""
    made = withdrawals.outcome(session, withdrawal_id)
    if made.state == "open":
        return ["code", {}]
    return ["posted" if made.state == "used" else "reversed", _facts(hop, made)]


def _facts(hop: Hop[Services], view: PaymentView | TransferView | WithdrawalView) -> dict[str, str]:
    return {"amount": hop.money(view.amount_minor), "reference": view.reference}


def enter(hop: Hop[Services]) -> str:
    """Where a dial, and the key `00`, lead."""
    if hop.person is None:
        return "register.language"
    state = hop.data.get("state", "active")
    if state in ("active", "dormant") and hop.data.pop("reset", None):
        return "reset"
    if state != "active":
        return f"home.{state}"
    if hop.left is not None:
        return "resume"
    return "agent" if hop.data.get("agent") else "home"


def wake(hop: Hop[Services], pin: str) -> str:
    """A wallet that slept is woken by its PIN."""
    open_with_pin(hop, pin)
    person_id = caller(hop).id
    hop.services.db.transact(lambda session: people.wake(session, person_id, hop.now))
    hop.data["state"] = "active"
    return "home"


def home_facts(hop: Hop[Services]) -> dict[str, object]:
    """The outcome line above the menu, and the number that can be paid again, by its name."""
    again, named = hop.data.get("again"), hop.data.get("again_as")
    number = again[1] if again else ""
    shown = hop.name(named, favourites.NICKNAME_MOST) if named else number
    return {**news_facts(hop), "customer_no": shown}


def news_facts(hop: Hop[Services]) -> dict[str, object]:
    if not hop.data.get("news"):
        return {"news": ""}
    key, values = hop.data["news"]
    return {"news": hop.say(f"menus.news.{key}", care=hop.market.care_number, **values) + "\n"}


STATES: tuple[State[Any], ...] = (
    Step(
        "enter",
        run=enter,
        goes=(
            "register.language",
            "home.suspended",
            "home.dormant",
            "home.closed",
            "resume",
            "reset",
            "agent",
            "home",
        ),
        reads=False,
    ),
    Resume(
        "resume",
        text="menus.resume.title",
        facts=news_facts,
        extra_texts=NEWS_KEYS,
        go_on="menus.resume.go_on",
        start_again="menus.resume.again",
        again="enter",
    ),
    Menu(
        "home",
        text="menus.home.title",
        facts=home_facts,
        extra_texts=NEWS_KEYS,
        pages=True,
        options=(
            Option("menus.home.pay_bill", goes="bill.category"),
            Option(
                "menus.home.pay_again",
                goes="bill.again",
                when=lambda hop: bool(hop.data.get("again")),
            ),
            Option("menus.home.send", goes="send.number"),
            Option("menus.home.withdraw", goes="withdraw"),
            Option("menus.home.payments", goes="history.payments"),
            Option("menus.home.balance", goes="balance.pin"),
            Option("menus.home.tokens", goes="tokens.pin"),
            Option("menus.home.account", goes="account"),
        ),
    ),
    End("home.suspended", text="menus.home.suspended"),
    End("home.closed", text="menus.home.closed"),
    Menu(
        "home.dormant",
        text="menus.home.dormant",
        options=(Option("menus.home.wake", goes="wake.pin"),),
    ),
    Secret(
        "wake.pin",
        text="menus.home.wake_pin",
        accept=wake,
        goes=("home",),
        refusals=("pin_wrong",),
        ends=("pin_locked",),
    ),
)
