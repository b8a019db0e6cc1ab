"""The model whose answers `tests/fixtures` were recorded from, and a few more ways to behave."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

LOG = logging.getLogger("minimod.api")


def predict(  # noqa: C901, PLR0911, PLR0917 - one way to behave after another
    mode: str = "dict",
    files: Path | None = None,
    n: int = 1,
    lst: list | None = None,
    dct: dict | None = None,
    conf: float = 0.25,
    model: str = "m",
    imgsz: list = [704, 512],  # noqa: B006 - stands so in the help
    flag: bool = False,
    rng: int = 50,
    accept: str = "application/json",
) -> object:
    print("a plain print from the model")  # noqa: T201 - a model may
    LOG.warning("a log line from the model")
    match mode:
        case "dict":
            return {"a": 1, "b": None, "c": True, "s": 'it\'s "q"\nnl', "f": 0.1}
        case "yolo_seed":
            return ['[\n  {\n    "name": "bear",\n    "class": 21\n  }\n]']
        case "yolo_current":
            return [[{"name": "bear", "class": 21, "box": {"x1": 1.5}}]]
        case "nan":
            return {"x": float("nan"), "y": float("inf")}
        case "bytesio":
            return io.BytesIO(b"\x89PNG\r\n\x1a\nfake")
        case "set":
            return {1}
        case "raise":
            raise ValueError("boom")
        case "exit":
            sys.exit(3)
        case "oom":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(rng)
        case "echo":
            return {"lst": lst, "dct": dct, "flag": flag, "rng": rng, "model": model}
    return None


def described(
    files: Annotated[Path, "Input 100 % of an image."],
    kind: Annotated[Literal["a", "b"], "Which."] = "a",
) -> str:
    return f"{files.name} {files.stat().st_size} {kind}"
