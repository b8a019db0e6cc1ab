"""From a run to the page: what is counted, fetched, drawn and written, in that order."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchinfer.artifacts import ArtifactKind
from batchinfer.domain import Attempt, Json, ResultDetails
from batchinfer.errors import ExportError, option
from batchinfer.exports.atomic import atomic_file
from batchinfer.exports.export_source import ExportSource
from batchinfer.exports.safe_text import encode_strict_json
from batchinfer.extras import import_optional
from batchinfer.images import ImageInfo, UnreadableImage, read_image_info
from batchinfer.predictions import Interpretation, PredictionFile
from batchinfer.report.aggregates import Timeline, WorkTime
from batchinfer.report.embedded_images import EmbeddedImage, embed_images
from batchinfer.report.formatting import clip, command_line
from batchinfer.report.html_page import escape_json_for_html, render_page
from batchinfer.report.item_cards import render_card
from batchinfer.report.item_sampler import ItemSampler
from batchinfer.report.run_statistics import RunStatistics
from batchinfer.report.template_context import ReportInfo, build_context, rank_classes
from batchinfer.store.run_reader import RunReader
from batchinfer.text_format import escape_undecodable, format_size

DEFAULT_MAX_REPORT_BYTES: Final = 20_000_000
"""Bytes of the file, at most, unless the user says otherwise."""

_MAX_SHOWN_ITEMS: Final = 1_200
"""Items that are shown, at most."""
_MIN_BYTES_PER_ITEM: Final = 14_000
"""Bytes that an item needs to be worth showing: a picture, and what stands beside it."""
_PAGE_OVERHEAD_BYTES: Final = 300_000
"""Bytes that are kept for everything but the items."""
_CARD_SHARE: Final = 0.4
"""Share of the rest that texts may take."""
_MAX_COMMAND_KEY_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written."""

    path: Path
    items: int
    """Items of the run."""
    shown_items: int
    """Those of them that can be looked at in it."""
    size_bytes: int
    """Of the file, in bytes."""

    def as_json(self) -> dict[str, Json]:
        """The object that `batchinfer report --json` prints."""
        return {
            "report": str(self.path),
            "items": self.items,
            "shown": self.shown_items,
            "bytes": self.size_bytes,
        }


@dataclass(slots=True)
class _Cards:
    """The cards of the items that are shown, and where their pictures are."""

    cards: list[str]
    image_paths: list[tuple[str, str]]
    """Name of the picture, and its path."""
    missing_images: dict[str, str]
    """Why there is none, by its name."""
    image_items: int = 0
    """Items whose file is a picture."""


def write_report(
    source: ExportSource,
    reader: RunReader,
    target: Path,
    *,
    title: str | None = None,
    max_bytes: int = DEFAULT_MAX_REPORT_BYTES,
    is_running: bool = False,
) -> WrittenReport:
    """Write the page of a run to `target`, completely or not at all; `max_bytes` bytes at most.

    `going`: a process is at work on the run now. Raises ConfigError when a library is missing, when
    the file cannot be written, or when `most` is too little.
    """
    import_optional("jinja2", "The report", "report")
    import_optional("PIL.Image", "The report", "report")
    statistics = _collect_statistics(
        source,
        reader,
        min(_MAX_SHOWN_ITEMS, max(max_bytes // _MIN_BYTES_PER_ITEM, 1)),
        is_running=is_running,
    )
    available_bytes = max(max_bytes - _PAGE_OVERHEAD_BYTES, 0)
    cards = _render_cards(source, reader, statistics.shown_positions, available_bytes)
    images = _render_images(cards, int(available_bytes - sum(map(len, cards.cards))))
    about = ReportInfo(
        title=clip(title or source.run_directory.resolve().name or "run", 120),
        run_path=str(source.run_directory),
        noun="images" if cards.image_items * 2 > len(cards.cards) else "items",
        shown_count=len(cards.cards),
        complete=reader.is_source_complete,
        is_running=is_running,
        info=source.info,
        help=source.model_help,
        format_sentences=source.conventions.describe() if source.conventions is not None else (),
        adjustments=reader.read_limit_changes(_MAX_SHOWN_ITEMS),
    )
    labels = escape_json_for_html(
        encode_strict_json({"labels": [rank.label for rank in rank_classes(statistics)]}).decode()
    )
    pieces = render_page(
        build_context(statistics, about),
        {"about": [labels], "items": _join_json(cards.cards, "[]"), "pictures": images},
    )
    data = [piece.encode() for piece in pieces]
    written = sum(map(len, data))
    if written > max_bytes:
        raise ExportError(
            f"The report of {escape_undecodable(str(source.run_directory))} does not fit into "
            f"{format_size(max_bytes)}: it takes {format_size(written)}. Allow more with "
            f"{option('size')}."
        )
    with atomic_file(target, ArtifactKind.REPORT) as file:
        file.writelines(data)
    return WrittenReport(target, statistics.item_count, len(cards.cards), written)


def _collect_statistics(
    source: ExportSource, reader: RunReader, max_items: int, *, is_running: bool
) -> RunStatistics:
    now = time.time()
    sessions = [
        (each.started_at, max(each.started_at, each.active_until))
        for each in reader.read_sessions()
    ]
    if is_running and sessions:
        sessions[-1] = (sessions[-1][0], max(now, sessions[-1][1]))
    span = reader.read_activity_span(now)
    end = span.finished_at or now
    timeline = Timeline(span.started_at or end, end)
    statistics = RunStatistics(
        timeline,
        ItemSampler(reader.read_counts().total, max_items, source.info.id),
        WorkTime(sessions),
    )
    for details in source.iter_details():
        statistics.add(
            details,
            lambda each=details: source.interpret_result(each.result),  # type: ignore[misc]
            lambda key: _read_attempts(reader, key),
        )
    return statistics


def _render_cards(
    source: ExportSource, reader: RunReader, positions: Collection[int], available_bytes: int
) -> _Cards:
    cards = _Cards([], [], {})
    if not positions:
        return cards
    max_card_bytes, remaining_bytes, last = (
        int(available_bytes * _CARD_SHARE / len(positions)),
        available_bytes,
        max(positions),
    )
    for details in source.iter_details():
        if details.position in positions:
            text = _render_item_card(source, reader, details, cards, max_card_bytes)
            remaining_bytes -= len(text.encode()) + 1
            if remaining_bytes < 0:  # nothing but signs that must be spelled out
                break
            cards.cards.append(text)
        if details.position >= last:
            break
    return cards


def _render_item_card(
    source: ExportSource, reader: RunReader, details: ResultDetails, cards: _Cards, max_bytes: int
) -> str:
    result, name = details.result, str(details.position)
    interpretation: Interpretation | None = None
    if result.media_type is not None:
        interpretation = source.interpret_result(result)
    image, path = find_item_image(details)
    cards.image_items += isinstance(image, ImageInfo)
    match interpretation:
        case PredictionFile(path=inner, media_type=media) if media.startswith("image/"):
            cards.image_paths.append((name, str(source.run_directory / inner)))
            name = f"{name}i"
    if path is not None:
        cards.image_paths.append((name, path))
    elif isinstance(image, UnreadableImage):
        cards.missing_images[name] = clip(image.reason, 200)
    return render_card(
        details,
        interpretation,
        _read_attempts(reader, result.key) if result.attempts > 1 else (),
        image if isinstance(image, ImageInfo) else None,
        show_command=command_line("show", str(source.run_directory), *_as_argument(result.key))
        if len(result.key) <= _MAX_COMMAND_KEY_CHARS
        else "",
        in_stored_pixels=source.boxes == "stored",
        max_bytes=max_bytes,
    )


def find_item_image(
    details: ResultDetails,
) -> tuple[ImageInfo | UnreadableImage | None, str | None]:
    """The first of an item's files that is a picture, and where it is; or why there is none."""
    reason: UnreadableImage | None = None
    for file in details.files:
        image = read_image_info(file.path)
        if isinstance(image, ImageInfo):
            return image, file.path
        reason = reason or image
    return reason, None


def _render_images(cards: _Cards, max_bytes: int) -> Sequence[str]:
    """The block of pictures: an object of name to source, width and height; or to a reason."""
    entries = [_json_entry(name, reason) for name, reason in cards.missing_images.items()]
    max_bytes -= sum(map(len, entries)) * 2 + 250 * len(cards.image_paths)
    made = embed_images([path for _, path in cards.image_paths], max(max_bytes, 0))
    for (name, _), each in zip(cards.image_paths, made, strict=True):
        match each:
            case EmbeddedImage(data_uri=source, width=width, height=height):
                entries.append(_json_entry(name, [source, width, height]))
            case UnreadableImage(reason=reason):
                entries.append(_json_entry(name, clip(reason, 200)))
    return _join_json(entries, "{}")


def _json_entry(name: str, value: Json) -> str:
    return escape_json_for_html(f'"{name}":{encode_strict_json(value).decode()}')


def _join_json(parts: Sequence[str], ends: str) -> Sequence[str]:
    return [ends[0], *_with_commas(parts), ends[1]]


def _with_commas(parts: Sequence[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        yield f",{part}" if place else part


def _read_attempts(reader: RunReader, key: str) -> Sequence[Attempt]:
    detail = reader.read_item_detail(key)
    return () if detail is None else detail.attempts


def _as_argument(key: str) -> tuple[str, ...]:
    """A key on a command line: one that begins like an option comes after `--`."""
    return ("--", key) if key.startswith("-") else (key,)
