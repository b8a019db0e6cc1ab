"""Templates of requests: JSON, or a text, in which `$NAME` stands for what an item has. Pure.

========================  ======================================================================
placeholder               stands for
========================  ======================================================================
`$base64`                 the content of the item's file, in base64
`$data_uri`               the same as a data URI (`data:image/png;base64,...`)
`$file`                   the file itself: as a whole field of a multipart body
`$file_name`              the name of the file, without its folders
`$media_type`             the media type of the file, by its first bytes
`$param.NAME`             a parameter: as a whole value what it is, within a text its text
`$params`                 all parameters, as a whole value
`$$`                      a dollar sign
========================  ======================================================================

With several files in an item those of a file are followed by the name of its parameter:
`$base64.image`. A content stands in a template once, and contents in the order of the item's files.

A template is compiled to pieces: what is always the same, and what each item fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchinfer.domain import Json
from batchinfer.protocols.inference_protocol import FileHead
from batchinfer.protocols.multipart import detect_media_type, get_file_name
from batchinfer.suggestions import suggest_inline

_PLACEHOLDER: Final = re.compile(r"\$(?:\$|([A-Za-z_]\w*)(?:\.([A-Za-z_][\w-]*))?)")
_CONTENT_NAMES: Final = frozenset({"base64", "data_uri", "file"})
_HEAD_NAMES: Final = frozenset({"file_name", "media_type"})
_NAMES: Final = sorted({*_CONTENT_NAMES, *_HEAD_NAMES, "param", "params"})


class BadTemplate(ValueError):  # noqa: N818 - reads as a fact
    """What is wrong with a template: the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file."""

    param: str | None
    """Of the file; None: it is the item's only one."""


@dataclass(frozen=True, slots=True)
class HeadText:
    """A text that is known once a file's first bytes are."""

    name: str
    """`file_name`, `media_type`, or `data_uri`: what stands before the content."""
    param: str | None


@dataclass(frozen=True, slots=True)
class ParamValue:
    """A parameter."""

    name: str | None
    """None: all of them."""
    is_whole: bool
    """Whether it is a value of its own, not a part of a text."""


Piece: TypeAlias = str | Content | HeadText | ParamValue
Escape: TypeAlias = Callable[[str], str]
"""How a text is written inside of what surrounds it."""


def escape_json(text: str) -> str:
    """A text as it stands between quotes in JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def compile_json(
    value: Json, content_names: frozenset[str] = frozenset({"base64", "data_uri"})
) -> Sequence[Piece]:
    """The pieces of a JSON template. Raises BadTemplate."""
    return _join(_iter_json(value, content_names))


def compile_text(
    text: str, escape: Escape = str, content_names: frozenset[str] = frozenset()
) -> Sequence[Piece]:
    """The pieces of a text; `escape`: as it is written. Raises BadTemplate."""
    return _join(_iter_text(text, escape, content_names))


def list_contents(pieces: Sequence[Piece]) -> Sequence[Content]:
    """The contents in a template, in order."""
    return [piece for piece in pieces if isinstance(piece, Content)]


def list_params(pieces: Sequence[Piece]) -> Sequence[str | None]:
    """The parameters in a template; None: all that an item has."""
    return [piece.name for piece in pieces if isinstance(piece, ParamValue)]


def check_files(pieces: Sequence[Piece], body: Sequence[Piece]) -> None:
    """Refuse what cannot be filled in. Raises BadTemplate.

    That is: contents that are ambiguous; and what is about a file that is read only later.
    `pieces`: of all templates; `body`: those of the body, in the order in which it is sent.
    """
    names = [content.param for content in list_contents(body)]
    if len(names) > 1 and (None in names or len(set(names)) < len(names)):
        raise BadTemplate(
            "has several places for the content of a file: name each by the parameter of its file, "
            "as $base64.image, and each once"
        )
    for piece in pieces:
        if isinstance(piece, HeadText) and piece.param not in {None, *names}:
            raise BadTemplate(f"says something of a file {piece.param!r}, whose content it lacks")
    seen = 0
    for piece in body:
        if isinstance(piece, HeadText) and piece.param in names[seen + 1 :]:
            raise BadTemplate(f"says something of the file {piece.param!r} too early")
        seen += isinstance(piece, Content)


def render(
    pieces: Sequence[Piece],
    params: Mapping[str, Json],
    files: Sequence[FileHead],
    escape: Escape = str,
) -> Sequence[bytes]:
    """A template filled in: the text before, between and behind the contents of the files.

    Of files that are not there yet nothing is written, nor of what is behind their contents.
    """
    parts, text = list[bytes](), list[str]()
    for piece in pieces:
        match piece:
            case str():
                text.append(piece)
            case Content():
                if len(parts) == len(files):
                    break
                parts.append(_encode(text))
                text = []
            case HeadText():
                file = _find_file(files, piece.param)
                text.append("" if file is None else escape(_get_head_text(piece.name, file)))
            case ParamValue():
                text.append(_render_param(piece, params, escape))
    return [*parts, _encode(text)]


def _iter_json(value: Json, content_names: frozenset[str]) -> Iterator[Piece]:
    match value:
        case str():
            yield from _iter_json_text(value, content_names)
        case Mapping():
            yield "{"
            for at, (name, each) in enumerate(value.items()):
                yield f"{', ' if at else ''}{json.dumps(name, ensure_ascii=False)}: "
                yield from _iter_json(each, content_names)
            yield "}"
        case Sequence():
            yield "["
            for at, each in enumerate(value):
                yield ", " if at else ""
                yield from _iter_json(each, content_names)
            yield "]"
        case _:
            yield json.dumps(value)


def _iter_json_text(text: str, content_names: frozenset[str]) -> Iterator[Piece]:
    found = _PLACEHOLDER.fullmatch(text)
    if found and found[1] in {"param", "params"}:
        yield _make_param(found, is_whole=True)
        return
    yield '"'
    yield from _iter_text(text, escape_json, content_names)
    yield '"'


def _iter_text(text: str, escape: Escape, content_names: frozenset[str]) -> Iterator[Piece]:
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        yield escape(text[end : found.start()])
        end = found.end()
        match found[1]:
            case None:
                yield "$"
            case "param" | "params":
                yield _make_param(found, is_whole=False)
            case "data_uri" if "data_uri" in content_names:
                yield HeadText("data_uri", found[2])
                yield Content(found[2])
            case name if name in content_names:
                yield Content(found[2])
            case name if name in _HEAD_NAMES:
                yield HeadText(name, found[2])
            case name if name in _CONTENT_NAMES:
                raise BadTemplate(f"cannot hold ${name} here")
            case name:
                hint = suggest_inline(name, _NAMES)
                known = ", ".join(f"${each}" for each in _NAMES)
                raise BadTemplate(f"has ${name}, which is none of {known}{hint}")
    yield escape(text[end:])


def _make_param(found: re.Match[str], *, is_whole: bool) -> ParamValue:
    if found[1] == "param" and not found[2]:
        raise BadTemplate("has $param without the name of one: write $param.NAME")
    if found[1] == "params" and not is_whole:
        raise BadTemplate("has $params inside of a text: it is a value of its own")
    return ParamValue(found[2] if found[1] == "param" else None, is_whole)


def _join(pieces: Iterator[Piece]) -> Sequence[Piece]:
    """The same with neighbouring texts in one."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        elif piece != "":
            joined.append(piece)
    return joined


def _find_file(files: Sequence[FileHead], param: str | None) -> FileHead | None:
    return next((file for file in files if param in {None, file.param}), None)


def _get_head_text(name: str, file: FileHead) -> str:
    match name:
        case "file_name":
            return get_file_name(file.path)
        case "data_uri":
            return f"data:{detect_media_type(file.head)};base64,"
        case _:
            return detect_media_type(file.head)


def _render_param(piece: ParamValue, params: Mapping[str, Json], escape: Escape) -> str:
    value: Json = dict(params) if piece.name is None else params.get(piece.name)
    if piece.is_whole:
        return json.dumps(value, ensure_ascii=False)
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _encode(texts: Sequence[str]) -> bytes:
    return "".join(texts).encode("utf-8", "surrogateescape")
