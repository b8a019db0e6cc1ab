"""Runs that exist in memory only: what exports say of a few items, or of very many."""

from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from batchinfer.domain import (
    JSON_MEDIA_TYPE,
    InputFile,
    Mode,
    Result,
    ResultDetails,
    RunInfo,
    State,
)
from batchinfer.exports import ExportSource

INFO = RunInfo("abc", 1_700_000_000.0, Mode.SYNC, {}, ("/data",))
HOSTILE = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1+1",
    "\u200e\u202e=1",
    "a;=1",
    "a\r\n=1",
    'a";=1',
    "NUL \0 in it",
    "quotes \" and, commas; and \\ and '",
    "<script>alert(1)</script>",
    "\u202eexe.txt\u2066",
    "\x1b[31mred\x07",
    "half \ud800 character",
    "L" * 1_000_000,
)
"""Labels, keys and messages of somebody who means ill."""


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def result(key="a.jpg", prediction=None, **others):
    known = {
        "key": key,
        "state": State.SUCCEEDED,
        "prediction": prediction,
        "media_type": JSON_MEDIA_TYPE,
        "code": None,
        "message": None,
        "attempts": 1,
        "seconds": 0.25,
        "started_at": "2026-11-23T10:00:00.125Z",
        "finished_at": "2026-11-23T10:00:00.375Z",
        "path": f"/data/{key}",
        "params": {},
    }
    return Result(**(known | others))


def failed(key="b.jpg", message="It said no.", code="model_error"):
    return result(key, state=State.FAILED, media_type=None, code=code, message=message)


def pending(key="c.jpg"):
    moments = dict.fromkeys(("seconds", "started_at", "finished_at"))
    return result(key, state=State.PENDING, media_type=None, attempts=0, **moments)


def book(results=(), notices=None):
    """A run of these results, without files; `results` is gone through at each reading."""
    return ExportSource(
        Path("run"),
        INFO,
        lambda: iter(results),
        lambda: (ResultDetails(n, one, (), 1, "", None) for n, one in enumerate(results, 1)),
        on_notice=(notices if notices is not None else []).append,
    )


def with_files(a_book, paths):
    """The same run, whose items have these files."""

    def dossiers():
        for dossier, path in zip(a_book.iter_details(), paths, strict=True):
            yield replace(dossier, files=(InputFile("files", path),))

    return replace(a_book, iter_details=dossiers)


def thing(label, score=0.5, *corners):
    left, top, right, bottom = corners or (1.5, 2, 3, 4)
    box = {"x1": left, "y1": top, "x2": right, "y2": bottom}
    return {"name": label, "confidence": score, "box": box}
