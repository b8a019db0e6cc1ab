"""Every way to answer and to fail, by the value of the parameter `mode`.

What the platform makes of each is told in `tests/support/deepaas_cases.py`. Both name plainly what
they mean: neither is made from the other.
"""

# ruff: noqa: T201 - models print

import atexit
import collections
import datetime as dt
import hashlib
import io
import json
import logging
import os
import pathlib
import signal
import sys
import traceback
import warnings
from typing import NamedTuple

import numpy as np
from aiohttp import web

LOG = logging.getLogger("bi_probe.answers")
RECORD = "2026-01-02 03:04:05.678 99 INFO camera [-] shutter"
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0"
    b"\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)
BEAR = {"name": "bear", "class": 21, "confidence": 0.93346, "box": {"x1": 109.39322, "y1": 26.4}}


class Point(NamedTuple):
    x: int
    y: float


VALUES = {
    "dict": {"a": 1, "b": None, "c": True, "s": 'it\'s "q"\nnl', "f": 0.1},
    "list": [1, "two", 3.5, False, None],
    "nested": {"rows": [{"x": [1, 2.5, [-3e-07]], "y": {}}, []], "": {"deep": [[[[["end"]]]]]}},
    "empty_dict": {},
    "empty_list": [],
    "none": None,
    "true": True,
    "false": False,
    "int": 42,
    "big_int": [10**30],
    "float": -1e-07,
    "nan": float("nan"),
    "not_numbers": {"x": float("nan"), "y": float("inf"), "z": [float("-inf")]},
    "text": "a plain answer",
    "text_empty": "",
    "text_number": "42",
    "text_zeros": "007",
    "text_lines": "first line\n\n  third line, indented\nlast line",
    "text_crlf": "one\r\ntwo\tend",
    "text_times": "2026-01-02 03:04:05 camera on\n2026-01-02 03:04:06.789 camera off\nend",
    "text_record": f"before\n{RECORD}\nbehind",
    "text_return": "first\nreturn: [1]\nINFO deepaas.cmd.cli [-] return: [2]\nlast",
    "text_error": "deepaas-cli: error: not really\nTraceback (most recent call last):\nE: no",
    "text_unicode": "Bär ☃ 𝄞 e\u0301 \u2028 end",
    "text_colours": "\x1b[31mred\x1b[0m or not",
    "text_json": json.dumps({"found": [BEAR, None]}, indent=2),
    "text_json_line": '[{"name": "bear"}]',
    "text_half_pair": "half \ud800 of a pair",
    "strings": ["it's", 'say "hi"', "back\\slash", "\0\x7f", f"{RECORD}\nreturn: [9]", "☃", ""],
    "yolo_seed": [json.dumps([BEAR], indent=2)],
    "yolo_current": [[BEAR, BEAR], []],
    "keys": {1: "one", None: "none", 2.5: "float"},
    "tuple_keys": {(0, 1): "edge"},
    "tuple": (1, (2,), ()),
    "set": {"only"},
    "set_empty": set(),
    "frozenset": [frozenset({3})],
    "bytes_text": "café".encode(),
    "bytes_png": PNG,
    "bytes_in_list": [b"caf\xc3\xa9", b"\xff\xfe"],
    "numpy_float": np.float64(0.25),
    "numpy_floats": {"score": np.float64(0.5), "all": [np.float64(1.0)]},
    "numpy_others": {"n": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True)},
    "numpy_array": np.array([[0.1, 0.2], [3.0, 40.5]]),
    "numpy_in_dict": {"boxes": np.array([[1, 2], [3, 4]]), "e": np.array([], dtype=np.float32)},
    "numpy_elided": {"all": np.zeros(2000)},
    "ordered": collections.OrderedDict(a=1),
    "named": Point(1, 2.5),
    "date": {"at": dt.date(2026, 1, 2)},
}


def png(_):
    return io.BytesIO(PNG)


def file_handle(_):
    path = pathlib.Path("answer.png")
    path.write_bytes(PNG)
    return path.open("rb")


def unserialisable(_):
    return object()


def unserialisable_inside(_):
    return {"image": io.BytesIO(PNG), "n": 1}


def huge(_):
    return {"long": "x" * 5_000_000}


def echo(params):
    return {name: _told(value) for name, value in params.items()}


def _told(value):
    if not hasattr(value, "original_filename"):
        return {"type": type(value).__name__, "value": value}
    path = pathlib.Path(value.filename)
    data = path.read_bytes()
    path.unlink()
    return {
        "type": type(value).__name__,
        "suffix": pathlib.Path(value.original_filename).suffix,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def prints(_):
    print("a plain print from the model")
    print("return: [666]")
    print("on standard error", file=sys.stderr)
    atexit.register(print, "a print behind the answer\n[1, 2, 3]")
    return {"answer": 1}


def prints_at_once(_):
    print("{'not': 'the answer'}", flush=True)
    return {"answer": 5}


def progress(_):
    for done in range(3):
        sys.stderr.write(
            f"\r {done * 50:3}%|{'#' * done * 5:10}| {done}/2 [00:01<00:01,  1.00it/s]"
        )
    sys.stderr.flush()
    return {"answer": 2}


def logs(_):
    LOG.warning("a record of the model, at 2026-01-02 03:04:05.678")
    LOG.info("return: [667]")
    logging.getLogger("tensorflow").error("a record\nof two lines")
    logging.getLogger().critical("the root's own words")
    warnings.warn("a thing is deprecated", UserWarning, stacklevel=1)
    return {"answer": 3}


def handled(_):
    try:
        raise_value(_)
    except ValueError:
        LOG.exception("went on without")
        traceback.print_exc()
    return {"answer": 4}


def raise_value(_):
    raise ValueError("boom")


def raise_late(_):
    print("all went well so far", flush=True)
    LOG.info("return: [668]")
    raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")


def raise_wrapped(_):
    try:
        raise_key(_)
    except KeyError as error:
        raise web.HTTPInternalServerError(reason="something broke") from error


def raise_hidden(_):
    try:
        raise_value(_)
    except ValueError as error:
        raise web.HTTPException(reason=error)  # noqa: B904 - as modules do


def raise_key(_):
    raise KeyError("bear")


def raise_nothing(_):
    raise AssertionError


def raise_unicode(_):
    raise ValueError("Bär ☃ return: [1]")


class TooSad(Exception):  # noqa: N818 - modules name theirs as they like
    pass


def raise_own(_):
    raise TooSad({"why": ["no", "reason"]})


def exit_quietly(_):
    sys.exit(3)


def exit_at_once(_):
    os._exit(1)


def killed(_):
    print("never seen: it is in a buffer")
    LOG.warning("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def _returned(value):
    return lambda _params: value


ANSWERS = {name: _returned(value) for name, value in VALUES.items()} | {
    answer.__name__: answer
    for answer in (
        png,
        file_handle,
        unserialisable,
        unserialisable_inside,
        huge,
        echo,
        prints,
        prints_at_once,
        progress,
        logs,
        handled,
        raise_value,
        raise_late,
        raise_wrapped,
        raise_hidden,
        raise_key,
        raise_nothing,
        raise_unicode,
        raise_own,
        exit_quietly,
        exit_at_once,
        killed,
    )
}
