"""From a run to the page: what is counted, fetched, drawn and written, in that order."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchinfer.domain import Attempt, Dossier, Json
from batchinfer.errors import ConfigError
from batchinfer.extras import bring
from batchinfer.images import Facts, Unseen, facts
from batchinfer.marks import Mark
from batchinfer.meaning import Meaning, Output
from batchinfer.report.cards import card
from batchinfer.report.choosing import Choosing
from batchinfer.report.contents import About, contents, ranks
from batchinfer.report.figures import Timeline, WorkTime
from batchinfer.report.gathering import Gathered
from batchinfer.report.page import quiet, render
from batchinfer.report.pictures import Picture, pictures
from batchinfer.report.texts import command, shown, size
from batchinfer.sinks.book import Book
from batchinfer.sinks.cells import json_text, printable
from batchinfer.sinks.whole import whole_file
from batchinfer.store.reader import RunReader

SIZE: Final = 20_000_000
"""Bytes of the file, at most, unless the user says otherwise."""

_MOST: Final = 1_200
"""Items that are shown, at most."""
_EACH: Final = 14_000
"""Bytes that an item needs to be worth showing: a picture, and what stands beside it."""
_FRAME: Final = 300_000
"""Bytes that are kept for everything but the items."""
_TEXTS: Final = 0.4
"""Share of the rest that texts may take."""
_LONG_KEY: Final = 2_000


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was written."""

    path: Path
    items: int
    """Items of the run."""
    shown: int
    """Those of them that can be looked at in it."""
    size: int
    """Of the file, in bytes."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer report --json` prints."""
        return {
            "report": str(self.path),
            "items": self.items,
            "shown": self.shown,
            "bytes": self.size,
        }


@dataclass(slots=True)
class _Texts:
    """The cards of the items that are shown, and where their pictures are."""

    cards: list[str]
    pictures: list[tuple[str, str]]
    """Name of the picture, and its path."""
    missing: dict[str, str]
    """Why there is none, by its name."""
    seen: int = 0
    """Items whose file is a picture."""


def publish(
    book: Book,
    reader: RunReader,
    target: Path,
    *,
    title: str | None = None,
    most: int = SIZE,
    going: bool = False,
) -> Reported:
    """Write the page of a run to `target`, whole or not at all; of `most` bytes at most.

    `going`: a process is at work on the run now. Raises ConfigError when a library is missing, when
    the file cannot be written, or when `most` is too little.
    """
    bring("jinja2", "The report", "report")
    bring("PIL.Image", "The report", "report")
    told = _gathered(book, reader, min(_MOST, max(most // _EACH, 1)), going=going)
    room = max(most - _FRAME, 0)
    texts = _texts(book, reader, told.chosen, room)
    images = _pictures(texts, int(room - sum(map(len, texts.cards))))
    about = About(
        title=shown(title or book.directory.resolve().name or "run", 120),
        run=str(book.directory),
        noun="images" if texts.seen * 2 > len(texts.cards) else "items",
        shown=len(texts.cards),
        complete=reader.source_is_read,
        going=going,
        info=book.info,
        help=book.help,
        read_as=book.reading.sentences() if book.reading is not None else (),
        adjustments=reader.adjustments(_MOST),
    )
    labels = quiet(json_text({"labels": [rank.label for rank in ranks(told)]}).decode())
    pieces = render(
        contents(told, about),
        {"about": [labels], "items": _joined(texts.cards, "[]"), "pictures": images},
    )
    data = [piece.encode() for piece in pieces]
    written = sum(map(len, data))
    if written > most:
        raise ConfigError(
            f"The report of {printable(str(book.directory))} does not fit into {size(most)}: it"
            f" takes {size(written)}. Allow more with --size."
        )
    with whole_file(target, Mark.REPORT) as file:
        file.writelines(data)
    return Reported(target, told.items, len(texts.cards), written)


def _gathered(book: Book, reader: RunReader, room: int, *, going: bool) -> Gathered:
    now = time.time()
    sessions = [*reader.sessions()]
    if going and sessions:
        sessions[-1] = (sessions[-1][0], max(now, sessions[-1][1]))
    span = reader.span(now)
    end = span.finished_at or now
    timeline = Timeline(span.started_at or end, end)
    told = Gathered(
        timeline, Choosing(reader.counts().total, room, book.info.id), WorkTime(sessions)
    )
    for dossier in book.dossiers():
        told.take(
            dossier,
            lambda dossier=dossier: book.meaning(dossier.result),  # type: ignore[misc]
            lambda key: _attempts(reader, key),
        )
    return told


def _texts(book: Book, reader: RunReader, chosen: Collection[int], room: int) -> _Texts:
    texts = _Texts([], [], {})
    if not chosen:
        return texts
    each, left, last = int(room * _TEXTS / len(chosen)), room, max(chosen)
    for dossier in book.dossiers():
        if dossier.position in chosen:
            text = _text(book, reader, dossier, texts, each)
            left -= len(text.encode()) + 1
            if left < 0:  # nothing but signs that must be spelled out
                break
            texts.cards.append(text)
        if dossier.position >= last:
            break
    return texts


def _text(book: Book, reader: RunReader, dossier: Dossier, texts: _Texts, room: int) -> str:
    result, name = dossier.result, str(dossier.position)
    meaning: Meaning | None = None
    if result.media_type is not None:
        meaning = book.meaning(result)
    known, path = _picture(dossier)
    texts.seen += isinstance(known, Facts)
    match meaning:
        case Output(path=inner, media_type=media) if media.startswith("image/"):
            texts.pictures.append((name, str(book.directory / inner)))
            name = f"{name}i"
    if path is not None:
        texts.pictures.append((name, path))
    elif isinstance(known, Unseen):
        texts.missing[name] = shown(known.reason, 200)
    return card(
        dossier,
        meaning,
        _attempts(reader, result.key) if result.attempts > 1 else (),
        known if isinstance(known, Facts) else None,
        show=command("show", str(book.directory), result.key)
        if len(result.key) <= _LONG_KEY
        else "",
        stored=book.options.boxes == "stored",
        room=room,
    )


def _picture(dossier: Dossier) -> tuple[Facts | Unseen | None, str | None]:
    """The first of an item's files that is a picture, and where it is; or why there is none."""
    reason: Unseen | None = None
    for file in dossier.files:
        known = facts(file.path)
        if isinstance(known, Facts):
            return known, file.path
        reason = reason or known
    return reason, None


def _pictures(texts: _Texts, room: int) -> Sequence[str]:
    """The block of pictures: an object of name to source, width and height; or to a reason."""
    entries = [_entry(name, reason) for name, reason in texts.missing.items()]
    room -= sum(map(len, entries)) * 2 + 250 * len(texts.pictures)
    made = pictures([path for _, path in texts.pictures], max(room, 0))
    for (name, _), each in zip(texts.pictures, made, strict=True):
        match each:
            case Picture(source=source, width=width, height=height):
                entries.append(_entry(name, [source, width, height]))
            case Unseen(reason=reason):
                entries.append(_entry(name, shown(reason, 200)))
    return _joined(entries, "{}")


def _entry(name: str, value: Json) -> str:
    return quiet(f'"{name}":{json_text(value).decode()}')


def _joined(parts: Sequence[str], ends: str) -> Sequence[str]:
    return [ends[0], *_between(parts), ends[1]]


def _between(parts: Sequence[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        yield f",{part}" if place else part


def _attempts(reader: RunReader, key: str) -> Sequence[Attempt]:
    detail = reader.item(key)
    return () if detail is None else detail.attempts
