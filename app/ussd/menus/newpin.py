"""A new PIN is typed twice; the first one lives sealed in the session until the second comes."""

from __future__ import annotations

from collections.abc import Callable

from app.ussd.menus.services import Services
from app.ussd.states import Hop, Secret

WEAK_PINS = (
    "pin_weak_same",
    "pin_weak_row",
    "pin_weak_number",
    "pin_weak_guess",
    "pin_used_before",
)
_SEALED = "first_pin"


def _refuse_used(hop: Hop[Services], pin: str) -> None:
    """None of the last PINs again; who registers has had none."""
    if hop.person is not None:
        pins, person_id = hop.services.pins, hop.person.id
        past = hop.services.db.transact(lambda session: pins.history(session, person_id))
        pins.refuse_used(past, pin)


def typed_twice(
    subject: str,
    keep: Callable[[Hop[Services], str], str],
    goes: str,
    ends: tuple[str, ...] = (),
    resume: str | None = None,
) -> tuple[Secret[Services], ...]:
    """The states `<subject>.new`, `.again` and `.differ`, and texts of the same names.

    `keep(hop, pin)` commits the PIN and returns `goes`. Whoever is cut off goes on at `resume`.
    """
    first, again, differ = f"{subject}.new", f"{subject}.again", f"{subject}.differ"

    def accept_first(hop: Hop[Services], pin: str) -> str:
        hop.services.pins.refuse_weak(pin, hop.msisdn)
        _refuse_used(hop, pin)
        hop.seal(_SEALED, pin)
        return again

    def accept_second(hop: Hop[Services], pin: str) -> str:
        same = pin == hop.unseal(_SEALED)
        hop.forget(_SEALED)
        return keep(hop, pin) if same else differ

    def ask_first(name: str, text: str) -> Secret[Services]:
        return Secret(
            name,
            text=text,
            facts=lambda hop: {"digits": hop.market.pin.length},
            accept=accept_first,
            goes=(again,),
            refusals=WEAK_PINS,
            resume=resume,
            new=True,
        )

    return (
        ask_first(first, f"menus.{first}"),
        ask_first(differ, "menus.pin.differ"),
        Secret(
            again,
            text=f"menus.{again}",
            accept=accept_second,
            goes=(differ, goes),
            ends=ends,
            commits=True,
            repeats=True,
            resume=resume,
            new=True,
        ),
    )
