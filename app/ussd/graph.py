"""L6: draws a menu book as a Mermaid flowchart, the same text for the same book.

A box stands for each state, its form for the kind (`SHAPES`), a frame for each subject: what
stands before the dot of a name. An arrow is a way that the book declares. Options carry their key
and label; dotted arrows are taken by the next session of somebody who was cut off. The keys `0`
and `00`, which work everywhere, are not drawn.

Every label is quoted, and what Mermaid would read in it is written as its code (`#35;`); an id
begins with `s_`, for `end` is a word of Mermaid's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.text import Catalogues
from app.ussd.menubook import MenuBook, Shortcut
from app.ussd.states import Ask, End, Menu, Pick, Resume, Secret, State, Step, Wait

SHAPES: Mapping[type[Any], tuple[str, str]] = {
    Menu: ("[", "]"),
    Ask: ("[/", "/]"),
    Pick: ("[[", "]]"),
    Secret: ("{{", "}}"),
    Resume: ("{", "}"),
    Step: ("(", ")"),
    Wait: (">", "]"),
    End: ("([", "])"),
}
DRAWN_LANGUAGE = "en"
_FACT = re.compile(r"\{\w+\}")
_READ_BY_MERMAID = re.compile(r'["#&<>`\\;]')
_NO_ID = re.compile(r"\W", re.ASCII)


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two states."""

    source: str
    target: str
    label: str = ""
    dotted: bool = False


def mermaid(
    book: MenuBook[Any],
    catalogues: Catalogues,
    *,
    start: str | None = None,
    hops: int | None = None,
) -> str:
    """The whole book, or what is reached from `start` over at most `hops` arrows.

    `hops` alone counts from the book's own start. Raises KeyError for an unknown `start`.
    """
    language = DRAWN_LANGUAGE if DRAWN_LANGUAGE in catalogues.languages else catalogues.languages[0]
    edges = [edge for state in book.states.values() for edge in _edges(state, catalogues, language)]
    shown = _near(book, edges, start or book.start, hops) if start or hops is not None else None
    names = [name for name in book.states if shown is None or name in shown]
    lines = ["flowchart LR", *_boxes(book, names)]
    if start is None:
        lines += _entries(book, names)
    lines += (
        _arrow(edge) for edge in edges if shown is None or {edge.source, edge.target} <= shown
    )
    return "\n".join(lines) + "\n"


def _edges(state: State[Any], catalogues: Catalogues, language: str) -> Iterator[Edge]:
    def say(key: str) -> str:
        return _FACT.sub("…", catalogues.say(language, key))

    if isinstance(state, Menu):
        lines = [f"{key} {say(option.label)}" for key, option in enumerate(state.options, 1)]
        for target in state.goes:
            ways = zip(state.options, lines, strict=True)
            yield Edge(
                state.name, target, ", ".join(line for way, line in ways if way.goes == target)
            )
    elif isinstance(state, Resume):
        yield Edge(state.name, state.again, f"2 {say(state.start_again)}")
    elif not isinstance(state, End):
        yield from (Edge(state.name, target) for target in state.goes)
        yield from _besides(state)


def _besides(state: State[Any]) -> Iterator[Edge]:
    """The way that is not among `goes`, with what leads there."""
    if isinstance(state, Pick):
        yield Edge(state.name, state.empty, "nothing in the list")
    elif isinstance(state, Step) and state.crowded:
        yield Edge(state.name, state.crowded, "too many wait")
    elif isinstance(state, Wait):
        yield Edge(state.name, state.late, "not known yet")
    elif isinstance(state, Secret) and state.resume:
        yield Edge(state.name, state.resume, "cut off", dotted=True)


def _near(book: MenuBook[Any], edges: list[Edge], start: str, hops: int | None) -> set[str]:
    """The states within `hops` arrows of `start`, however far without `hops`."""
    if start not in book.states:
        raise KeyError(start)
    near, newest = {start}, {start}
    for _ in range(len(book.states) if hops is None else hops):
        newest = {edge.target for edge in edges if edge.source in newest} - near
        near |= newest
    return near


def _boxes(book: MenuBook[Any], names: list[str]) -> Iterator[str]:
    """Boxes by subject; a subject of one state needs no frame."""
    subjects: dict[str, list[str]] = {}
    for name in names:
        subjects.setdefault(name.partition(".")[0], []).append(name)
    for subject, members in subjects.items():
        boxes = [f"{_id(name)}{_box(book.states[name])}" for name in members]
        if len(boxes) == 1:
            yield f"    {boxes[0]}"
            continue
        yield f"    subgraph {_id(subject, 'g_')}[{_quoted(subject)}]"
        yield from (f"        {box}" for box in boxes)
        yield "    end"


def _box(state: State[Any]) -> str:
    left, right = SHAPES[type(state)]
    return f"{left}{_quoted(state.name)}{right}"


def _entries(book: MenuBook[Any], names: list[str]) -> Iterator[str]:
    """Where sessions come in: a dial, a code that is dialled whole, a session that Redis lost."""
    ways = [("dial", "dial", book.start)]
    if book.home != book.start:
        ways.append(("home", "00", book.home))
    ways += (
        (f"code_{number}", _code(shortcut), shortcut.answers[0])
        for number, shortcut in book.shortcuts.items()
    )
    if book.bad_shortcut:
        ways.append(("code_bad", "unfinished code", book.bad_shortcut))
    ways += (("lost", "lost session", name) for name in book.entries)
    known: set[str] = set()
    for own, label, target in ways:
        if target in names:
            box = "" if own in known else f"(({_quoted(label)}))"
            known.add(own)
            yield f"    e_{own}{box} --> {_id(target)}"


def _code(shortcut: Shortcut) -> str:
    return "*".join(["", shortcut.number, *("…" for _ in shortcut.answers)]) + "#"


def _arrow(edge: Edge) -> str:
    line = "-.->" if edge.dotted else "-->"
    label = f"|{_quoted(edge.label)}|" if edge.label else ""
    return f"    {_id(edge.source)} {line}{label} {_id(edge.target)}"


def _id(name: str, before: str = "s_") -> str:
    """An id of its own for every name: letters and digits stay, `.` is `__`, others their code."""
    return before + _NO_ID.sub(
        lambda found: "__" if found[0] == "." else f"_{ord(found[0])}_", name
    )


def _quoted(label: str) -> str:
    written = _READ_BY_MERMAID.sub(lambda found: f"#{ord(found[0])};", label)
    return f'"{" ".join(written.split())}"'
