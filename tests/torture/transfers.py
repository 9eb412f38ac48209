"""Money between people and agents, the web killed on either side of each commit.

T1  after the fault the money moved wholly or not at all: what phones are told of their balances
T2  a phone that saw "done" means that it moved; one that saw nothing is told by the redial
T3  moved ⇒ every party has one receipt; not moved ⇒ nobody has one
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.cli.demo import PIN, DemoPerson, add
from app.runtime import Runtime
from app.wallet import agents, people
from tests.people import fresh_msisdn
from tests.torture.judge import START_MINOR, Judge, add_people, balance_told, dial_home
from tests.world import Phone, World

AMOUNT, AMOUNT_MINOR = "200", 20_000
DEATH_SECONDS = 10


@dataclass
class Stage:
    """Two people and an agent, each with START_MINOR; the number of nobody."""

    payer: Phone
    payee: Phone
    agent: Phone
    agent_code: str
    nobody: Phone


@dataclass(frozen=True)
class Story:
    """A movement: who confirms it, with which replies, and what it changes for whom.

    `receipts` are how the SMS of each party begins.
    """

    name: str
    doer: Callable[[Stage], Phone]
    replies: Callable[[Stage], tuple[str, ...]]
    changes: Callable[[Stage], dict[str, int]]
    receipts: Callable[[Stage], dict[str, str]]


@dataclass
class After:
    """What a story left behind, to be judged when all is at rest."""

    failpoint: str
    story: Story
    stage: Stage
    screen: str
    redial: str


STORIES = (
    Story(
        "send",
        doer=lambda stage: stage.payer,
        replies=lambda stage: ("Send money", stage.payee.msisdn, AMOUNT),
        changes=lambda stage: {
            stage.payer.msisdn: -(AMOUNT_MINOR + 700),
            stage.payee.msisdn: AMOUNT_MINOR,
        },
        receipts=lambda stage: {
            stage.payer.msisdn: "Sent KES 200.00",
            stage.payee.msisdn: "You got KES 200.00",
        },
    ),
    Story(
        "voucher",
        doer=lambda stage: stage.payer,
        replies=lambda stage: ("Send money", stage.nobody.msisdn, AMOUNT),
        changes=lambda stage: {stage.payer.msisdn: -(AMOUNT_MINOR + 3_500)},
        receipts=lambda stage: {
            stage.payer.msisdn: "KES 200.00 to ",
            stage.nobody.msisdn: "",
        },
    ),
    Story(
        "cash_in",
        doer=lambda stage: stage.agent,
        replies=lambda stage: ("Cash in", stage.payee.msisdn, AMOUNT),
        changes=lambda stage: {
            stage.agent.msisdn: -AMOUNT_MINOR,
            stage.payee.msisdn: AMOUNT_MINOR,
        },
        receipts=lambda stage: {stage.agent.msisdn: "", stage.payee.msisdn: ""},
    ),
    Story(
        "cash_out",
        doer=lambda stage: stage.payer,
        replies=lambda stage: ("Withdraw cash", "1", stage.agent_code, AMOUNT),
        changes=lambda stage: {
            stage.payer.msisdn: -(AMOUNT_MINOR + 2_900),
            stage.agent.msisdn: AMOUNT_MINOR,
        },
        receipts=lambda stage: {stage.payer.msisdn: "", stage.agent.msisdn: ""},
    ),
)


def failpoints_of(story: Story) -> tuple[str, str]:
    return f"{story.name}.before_commit", f"{story.name}.after_commit"


def at_failpoint(failpoint: str, story: Story, parts: Runtime, world: World, judge: Judge) -> After:
    """Let the web die at one failpoint in the middle of a movement, bring it back, redial."""
    stage = _stage(parts, world)
    world.kill("web")
    world.start("web", failpoint=failpoint)
    world.wait_ready()
    before = world.deaths("web")
    screen = _confirm(story, stage)
    deadline = time.monotonic() + DEATH_SECONDS
    while world.deaths("web") == before and time.monotonic() < deadline:
        time.sleep(0.05)
    judge.check(world.deaths("web") > before, "harness", f"{failpoint} was never reached")
    world.kill("web")
    world.start("web")
    world.wait_ready()
    return After(failpoint, story, stage, screen, dial_home(story.doer(stage)))


def judge_after(judge: Judge, after: After) -> None:
    """T1 to T3, after everything came to rest."""
    stage, story, where = after.stage, after.story, after.failpoint
    told = {phone.msisdn: balance_told(phone) for phone in (stage.payer, stage.payee, stage.agent)}
    changes = {number: (told[number] or 0) - START_MINOR for number in told}
    wanted = dict.fromkeys(told, 0) | story.changes(stage)
    moved = changes == wanted
    still = not any(changes.values())
    judge.check(moved or still, "T1", f"{where}: balances changed by {changes}, not {wanted}")
    said = "KES 200.00 done" in after.redial
    judge.check(said == moved, "T2", f"{where}: moved {moved}, redial says {after.redial!r}")
    judge.check(not _says_done(after.screen) or moved, "T2", f"{where}: {after.screen!r}")
    for number, begins in story.receipts(stage).items():
        inbox = {message["text"] for message in judge.world.inbox(number)}
        got = [text for text in inbox if text.startswith(begins)]
        judge.check(len(got) == int(moved), "T3", f"{where}: {number} has {len(got)} receipts")


def _says_done(screen: str) -> bool:
    return bool(re.search(r"\bRef [0-9A-HJKMNP-TV-Z]{8}", screen))


def _confirm(story: Story, stage: Stage) -> str:
    phone = story.doer(stage)
    screen = dial_home(phone)
    first, *others = story.replies(stage)
    for reply in (choice(screen, first), *others, PIN):
        if not phone.open:
            return screen
        screen = phone.reply(reply)
    return screen


def choice(screen: str, label: str) -> str:
    """The key of an option on the screen."""
    return next(line.split()[0] for line in screen.splitlines() if line.endswith(f" {label}"))


def _stage(parts: Runtime, world: World) -> Stage:
    payer, payee = (who.phone for who in add_people(parts, world, 2))
    kiosk = DemoPerson(fresh_msisdn(), "Neema Kiosk", "en", "agent", START_MINOR)
    add(parts.db, parts.pins, parts.market, kiosk, datetime.now(UTC))

    def code(session: Session) -> str:
        person = people.find(session, kiosk.msisdn)
        assert person
        agent = agents.of_person(session, person.id)
        assert agent
        return agent.code

    return Stage(
        payer, payee, Phone(world, kiosk.msisdn), parts.db.transact(code),
        Phone(world, fresh_msisdn()),
    )  # fmt: skip
