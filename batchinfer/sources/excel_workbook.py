"""Opens Excel workbooks (`.xlsx`, `.xlsm`): a sheet, and what openpyxl does not say of it.

Rows are read as a stream; texts of the whole workbook are in memory, as its format wants it.
"""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import Any, BinaryIO, Final, NamedTuple
from xml.etree.ElementTree import ParseError

from batchinfer.errors import SourceError
from batchinfer.extras import import_optional
from batchinfer.suggestions import suggest_inline

_OLE_MAGIC: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP_MAGIC: Final = b"PK"
_ENCRYPTED_MARK: Final = "EncryptedPackage".encode("utf-16-le")
_MAX_PART_BYTES: Final = 1 << 30
_MAX_MERGED_RANGES: Final = 100_000
_HEAD_ROWS: Final = 100
"""Rows of a sheet in which there must be something, if it is not empty."""
_SCAN_BYTES: Final = 1 << 20
_MARK_PATTERN: Final = re.compile(
    rb'<(?:\w+:)?(?:(?P<formula>f)[\s>/]|mergeCell\s[^>]*?ref="(?P<range>[A-Z]+\d+:[A-Z]+\d+)")'
)
_RANGE_PATTERN: Final = re.compile(r"([A-Z]+)(\d+):([A-Z]+)(\d+)")

OPENING_ERRORS: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, IndexError),
    *(AttributeError, ParseError, NotImplementedError, RuntimeError),
)
"""What openpyxl raises for files that are damaged in some way."""


class MergedRange(NamedTuple):
    """Cells that are one; rows and columns from 1, all inclusive."""

    name: str
    """As Excel spells it: "B2:B4"."""
    first_column: int
    first_row: int
    last_column: int
    last_row: int


class Sheet(NamedTuple):
    """An open sheet."""

    title: str
    rows: Any
    """Its openpyxl worksheet, with values as Excel saved them."""
    formulas: Any | None
    """The same with formulas instead of their values; None: it has no formula."""
    merged_ranges: tuple[MergedRange, ...]


@contextmanager
def open_sheet(path: str, title: str, displayed: str) -> Iterator[Sheet]:
    """Open a sheet; without `title` the only one that is not empty.

    Raises OSError, and SourceError, which calls the file `displayed`. Reading rows raises
    `OPENING_ERRORS` where the file is damaged.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))  # noqa: PTH123 - a name may be of any bytes
        try:
            sheet = _open_sheet(stack, file, title, displayed)
        except OPENING_ERRORS as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise SourceError(
                f"{displayed} is damaged, or no workbook that is read ({reason.rstrip('.')}): open "
                "it, and save it again as .xlsx."
            ) from error
        yield sheet


def _open_sheet(stack: ExitStack, file: BinaryIO, title: str, displayed: str) -> Sheet:
    openpyxl = import_optional("openpyxl", "Reading Excel workbooks", "excel")
    _check_kind(file, displayed)
    _check_sizes(file, displayed)
    workbook = stack.enter_context(closing(_load(openpyxl, file, data_only=True)))
    sheet = _choose_sheet(workbook, title, displayed)
    has_formulas, merged_ranges = _scan(file, sheet)
    if not has_formulas:
        return Sheet(sheet.title, sheet, None, merged_ranges)
    formulas = stack.enter_context(closing(_load(openpyxl, file, data_only=False)))
    return Sheet(sheet.title, sheet, formulas[sheet.title], merged_ranges)


def _load(openpyxl: Any, file: BinaryIO, *, data_only: bool) -> Any:
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and validations, which are not needed
        workbook = openpyxl.load_workbook(
            file, read_only=True, data_only=data_only, keep_links=False
        )
    for sheet in workbook.worksheets:
        sheet.reset_dimensions()  # some programs write wrong ones
    return workbook


def _check_kind(file: BinaryIO, displayed: str) -> None:
    head = file.read(8)
    if head.startswith(_ZIP_MAGIC):
        return
    if not head:
        raise SourceError(f"{displayed} is empty (0 bytes): save it again.")
    if head != _OLE_MAGIC:
        raise SourceError(
            f"{displayed} is no Excel workbook, whatever it is called: open it, and save it as "
            ".xlsx, or as CSV UTF-8."
        )
    while block := file.read(_SCAN_BYTES):
        if _ENCRYPTED_MARK in block:
            raise SourceError(
                f"{displayed} has a password: save a copy without one (File > Info > Protect "
                "Workbook > Encrypt with Password: leave it empty)."
            )
        file.seek(-len(_ENCRYPTED_MARK) if len(block) == _SCAN_BYTES else 0, 1)
    raise SourceError(
        f"{displayed} is a workbook of Excel 97-2003 (.xls): open it, and save it as .xlsx."
    )


def _check_sizes(file: BinaryIO, displayed: str) -> None:
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            if part.flag_bits & 1:
                raise SourceError(f"{displayed} has a password: save a copy without one.")
            if part.filename.endswith("sharedStrings.xml") and part.file_size > _MAX_PART_BYTES:
                raise SourceError(
                    f"{displayed} holds {part.file_size:,} bytes of texts, more than are read: "
                    "save it as CSV UTF-8."
                )


def _choose_sheet(workbook: Any, title: str, displayed: str) -> Any:
    sheets = {sheet.title: sheet for sheet in workbook.worksheets}
    if title:
        same = [each for each in sheets if each.casefold() == title.casefold()]
        if title in sheets or len(same) == 1:
            return sheets[title if title in sheets else same[0]]
        hint = suggest_inline(title, list(sheets))
        raise SourceError(
            f"{displayed} has no sheet {title!r}{hint}. It has {_list_titles(sheets)}."
        )
    filled = [sheet for sheet in sheets.values() if _has_content(sheet)]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        raise SourceError(f"{displayed}: there is nothing in it.")
    raise SourceError(
        f"{displayed} has several sheets: {_list_titles({s.title: s for s in filled})}. Name one "
        f"of them, as {displayed}#{filled[0].title}."
    )


def _list_titles(sheets: dict[str, Any]) -> str:
    return ", ".join(list(sheets)[:20])


def _has_content(sheet: Any) -> bool:
    if not hasattr(sheet, "iter_rows"):  # a chart
        return False
    rows = islice(sheet.iter_rows(values_only=True), _HEAD_ROWS)
    return any(value is not None for row in rows for value in row)


def _scan(file: BinaryIO, sheet: Any) -> tuple[bool, tuple[MergedRange, ...]]:
    """Whether the sheet has formulas, and its merged cells: openpyxl, streaming, keeps neither."""
    has_formulas = False
    ranges: dict[str, None] = {}
    file.seek(0)
    with zipfile.ZipFile(file) as archive, archive.open(sheet._worksheet_path) as part:  # noqa: SLF001
        rest = b""
        while block := part.read(_SCAN_BYTES):
            text = rest + block
            for found in _MARK_PATTERN.finditer(text):
                if found["formula"]:
                    has_formulas = True
                elif len(ranges) < _MAX_MERGED_RANGES:
                    ranges[found["range"].decode()] = None
            rest = text[text.rfind(b"<") :][-1_000:] if b"<" in text else b""
    return has_formulas, tuple(map(_parse_range, ranges))


def _parse_range(name: str) -> MergedRange:
    match = _RANGE_PATTERN.fullmatch(name)
    if match is None:
        raise ValueError(name)
    return MergedRange(
        name, _parse_column(match[1]), int(match[2]), _parse_column(match[3]), int(match[4])
    )


def _parse_column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
