"""The comparison as one page: what changed, and the items that differ most, drawn side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchinfer._version import __version__
from batchinfer.artifacts import ArtifactKind
from batchinfer.comparison.comparison_sentences import (
    describe_change,
    describe_difference,
    describe_outcome,
    list_facts,
    list_rows,
)
from batchinfer.comparison.comparison_summary import Comparison, WorstItem
from batchinfer.comparison.item_differences import (
    ComparisonRules,
    ItemChange,
    ItemDifference,
    ItemPair,
    compare_pair,
)
from batchinfer.domain import ResultDetails
from batchinfer.errors import ExportError, option
from batchinfer.exports.atomic import atomic_file
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.extras import import_optional
from batchinfer.images import ImageInfo, UnreadableImage
from batchinfer.predictions import PredictionFile
from batchinfer.report.embedded_images import EmbeddedImage, embed_images
from batchinfer.report.formatting import clip, command_line, format_time
from batchinfer.report.html_page import PageParts, escape_json_for_html, render_page
from batchinfer.report.item_cards import format_label, render_card
from batchinfer.report.report_writer import find_item_image
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_undecodable, format_size

_MAX_SHOWN: Final[Mapping[ItemChange, int]] = {
    ItemChange.NEWLY_FAILED: 60,
    ItemChange.LOST: 30,
    ItemChange.CHANGED: 300,
    ItemChange.FAILED_OTHERWISE: 30,
    ItemChange.NEWLY_SUCCEEDED: 60,
    ItemChange.APPEARED: 30,
    ItemChange.UNFINISHED: 10,
}
"""Items of each kind of change that are shown, at most."""
_PAGE_BYTES: Final = 250_000
"""Bytes that are kept for everything but the items."""
_MIN_BYTES_PER_PAIR: Final = 24_000
_CARD_SHARE: Final = 0.4
"""Share of the rest that texts may take."""
_MAX_SHOWN_LABELS: Final = 30
_PACKAGE, _REPORT = "batchinfer.comparison", "batchinfer.report"
_PAGE_PARTS: Final = PageParts(
    (_PACKAGE, "comparison.html.j2"),
    ((_REPORT, "report.css"), (_PACKAGE, "comparison.css")),
    ((_REPORT, "elements.js"), (_REPORT, "drawing.js"), (_PACKAGE, "comparison.js")),
)


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the runs, to read the items that are shown."""

    source: ExportSource
    reader: RunReader

    def read(self, position: int | None) -> ResultDetails | None:
        return None if position is None else self.reader.read_details_at(position)


@dataclass(slots=True)
class _Pictures:
    """The pictures of the page: each once, though both runs have it."""

    names: dict[str, str]
    """Name by path."""
    missing: dict[str, str]
    """Why there is none, by name."""

    def add(self, path: str | None, reason: UnreadableImage | None) -> str:
        """The name under which the page has the picture."""
        if path is not None:
            return self.names.setdefault(path, f"p{len(self.names)}")
        name = f"m{len(self.missing)}"
        self.missing[name] = clip(reason.reason, 200) if reason is not None else ""
        return name


def write_comparison_page(
    comparison: Comparison,
    sources: tuple[ExportSource, ExportSource],
    readers: tuple[RunReader, RunReader],
    target: Path,
    *,
    rules: ComparisonRules,
    max_bytes: int,
    title: str | None = None,
) -> None:
    """Write the page of a comparison to `target`, completely or not at all.

    Raises ConfigError when a library is missing, ExportError when the file cannot be written or
    does not fit into `max_bytes`.
    """
    import_optional("jinja2", "The page of a comparison", "report")
    import_optional("PIL.Image", "The page of a comparison", "report")
    sides = [_Side(source, reader) for source, reader in zip(sources, readers, strict=True)]
    available = max(max_bytes - _PAGE_BYTES, 0)
    chosen = _choose_items(comparison, max(available // _MIN_BYTES_PER_PAIR, 1))
    pictures = _Pictures({}, {})
    max_card_bytes = int(available * _CARD_SHARE / (2 * len(chosen) or 1))
    pairs = [
        _render_pair(_compare_again(item, sides, rules), number, sides, pictures, max_card_bytes)
        for number, item in enumerate(chosen, 1)
    ]
    labels = [
        format_label(label)
        for change in comparison.label_changes.most_common(_MAX_SHOWN_LABELS)
        for label in change[0]
    ]
    pieces = render_page(
        _build_context(comparison, len(pairs), title, sources),
        {
            "about": [_to_block({"labels": list(dict.fromkeys(labels))})],
            "pairs": ["[", *_join(pairs), "]"],
            "pictures": [
                "{",
                *_join(list(_embed(pictures, available - sum(map(len, pairs))))),
                "}",
            ],
        },
        _PAGE_PARTS,
    )
    data = [piece.encode() for piece in pieces]
    written = sum(map(len, data))
    if written > max_bytes:
        raise ExportError(
            f"The page does not fit into {format_size(max_bytes)}: it takes "
            f"{format_size(written)}. Allow more with {option('size')}."
        )
    with atomic_file(target, ArtifactKind.REPORT) as file:
        file.writelines(data)


def _choose_items(comparison: Comparison, max_items: int) -> Sequence[WorstItem]:
    """The worst of each kind of change; fewer of each where the page has no room for all."""
    worst = comparison.list_worst()
    room = min(1.0, max_items / (sum(_MAX_SHOWN.values()) or 1))
    left = {change: max(int(most * room), 1) for change, most in _MAX_SHOWN.items()}
    chosen = []
    for item in worst:
        if left.get(item.change, 0):
            left[item.change] -= 1
            chosen.append(item)
    return chosen


def _compare_again(
    item: WorstItem, sides: Sequence[_Side], rules: ComparisonRules
) -> ItemDifference:
    """The difference of an item that is shown: the first pass held only where it stands."""
    a, b = sides[0].read(item.a_position), sides[1].read(item.b_position)
    return compare_pair(ItemPair(item.key, a, b), sides[0].source, sides[1].source, rules)


def _render_pair(
    difference: ItemDifference,
    number: int,
    sides: Sequence[_Side],
    pictures: _Pictures,
    max_card_bytes: int,
) -> str:
    """The item in both runs, as the page's script reads it: strict JSON."""
    pair, matches = difference.pair, difference.matches
    alone = ((), ()) if matches is None else (matches.only_first, matches.only_second)
    cards = [
        _render_side(side, details, pictures, unmatched, max_card_bytes)
        for side, details, unmatched in zip(sides, (pair.a, pair.b), alone, strict=True)
    ]
    head = _to_block(
        {
            "n": number,
            "key": clip(pair.key, 300),
            "change": difference.change.value,
            "label": describe_change(difference.change),
            "notes": [clip(note, 300) for note in describe_difference(difference)],
        }
    )
    return f'{head[:-1]},"a":{cards[0]},"b":{cards[1]}}}'


def _render_side(
    side: _Side,
    details: ResultDetails | None,
    pictures: _Pictures,
    alone: Sequence[int],
    max_bytes: int,
) -> str:
    if details is None:
        return "null"
    result = details.result
    interpretation = side.source.interpret_result(result) if result.media_type is not None else None
    image, path = find_item_image(details)
    reason = image if isinstance(image, UnreadableImage) else None
    extra: dict[str, Any] = {"picture": pictures.add(path, reason), "alone": list(alone)}
    match interpretation:
        case PredictionFile(path=inner, media_type=media) if media.startswith("image/"):
            answer = side.source.find_output(inner, details.file_checksum)
            if answer is not None:
                extra["answer"] = pictures.add(str(answer), None)
    run = str(side.source.run_directory)
    key = ("--", result.key) if result.key.startswith("-") else (result.key,)
    card = render_card(
        details,
        interpretation,
        (),
        image if isinstance(image, ImageInfo) else None,
        show_command=command_line("show", run, *key) if len(result.key) < 500 else "",  # noqa: PLR2004
        in_stored_pixels=side.source.boxes == "stored",
        max_bytes=max_bytes,
    )
    return f"{card[:-1]},{_to_block(extra)[1:]}"


def _embed(pictures: _Pictures, max_bytes: int) -> Iterator[str]:
    for name, reason in pictures.missing.items():
        yield f'"{name}":{_to_block(reason)}'
    made = embed_images(list(pictures.names), max(max_bytes - 250 * len(pictures.names), 0))
    for name, each in zip(pictures.names.values(), made, strict=True):
        match each:
            case EmbeddedImage(data_uri=source, width=width, height=height):
                yield f'"{name}":{_to_block([source, width, height])}'
            case UnreadableImage(reason=reason):
                yield f'"{name}":{_to_block(clip(reason, 200))}'


def _build_context(
    comparison: Comparison,
    shown: int,
    title: str | None,
    sources: tuple[ExportSource, ExportSource],
) -> Mapping[str, Any]:
    names = [clip(source.run_directory.resolve().name or "run", 80) for source in sources]
    if names[0] == names[1]:
        names = [clip(escape_undecodable(str(source.run_directory)), 120) for source in sources]
    return {
        "version": __version__,
        "title": clip(title, 120) if title else f"{names[0]} and {names[1]}",
        "made": format_time(time.time()),
        "outcome": describe_outcome(comparison),
        "rows": list_rows(comparison),
        "facts": list_facts(comparison),
        "names": names,
        "label_changes": [
            (format_label(label) or "(none)", format_label(other) or "(none)", f"{count:,}")
            for (label, other), count in comparison.label_changes.most_common(_MAX_SHOWN_LABELS)
        ],
        "shown": f"{shown:,}",
    }


def _to_block(value: Any) -> str:
    return escape_json_for_html(encode_strict_json(value).decode())


def _join(parts: Sequence[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        yield f",{part}" if place else part
