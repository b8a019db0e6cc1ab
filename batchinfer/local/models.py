"""Models that come along, to try the service with.

Loaded by path into the process of each prediction, so nothing of batchinfer is imported here, and
what only one model needs is imported in it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import shlex
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    import numpy as np

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_MAX_EDGE_PIXELS = 800
"""Pixels of the longer side; larger images are made smaller first."""
_CASCADES = (
    ("face", "haarcascade_frontalface_default.xml", 8),
    ("cat face", "haarcascade_frontalcatface_extended.xml", 3),
)
"""What is found, by which weights, and how many overlapping finds it takes."""


def echo(files: Path | None = None, **params: str) -> dict[str, object]:
    """Return the parameters as they arrived, and size and SHA-256 of the file."""
    data = b"" if files is None else files.read_bytes()
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), **params}


def faces(
    files: Annotated[Path, "A photograph (JPEG, PNG, TIFF, WebP)."],
    min_size: Annotated[int, "Smallest side of a face, in pixels."] = 40,
    min_confidence: Annotated[float, "Leave out what is less sure, 0 to 1."] = 0.5,
) -> list[dict[str, object]]:
    """Faces of people and cats, found by the Haar cascades that come inside OpenCV's wheel.

    Confidence is the last stage's weight squeezed into 0..1; it is no probability.
    Raises ValueError for what is no whole image.
    """
    import cv2  # noqa: PLC0415 - takes a while, and other models do without

    gray = _read_gray(files)
    scale = max(1.0, max(gray.shape) / _MAX_EDGE_PIXELS)
    small = cv2.resize(gray, None, fx=1 / scale, fy=1 / scale) if scale > 1 else gray
    smallest = max(1, round(min_size / scale))
    found: list[dict[str, object]] = []
    for name, cascade, neighbours in _CASCADES:
        path = cv2.data.haarcascades + cascade  # type: ignore[attr-defined]
        boxes, _, weights = cv2.CascadeClassifier(path).detectMultiScale3(
            small,
            minNeighbors=neighbours,
            minSize=(smallest, smallest),
            outputRejectLevels=True,
        )
        for (x, y, width, height), weight in zip(boxes, weights, strict=True):
            confidence = round(1 / (1 + math.exp(-float(weight) / 2)), 5)
            sides = {"x1": x, "y1": y, "x2": x + width, "y2": y + height}
            box = {side: round(float(value) * scale, 1) for side, value in sides.items()}
            if confidence >= min_confidence:
                found.append({"name": name, "confidence": confidence, "box": box})
    return found


def make_command_model(template: str) -> Callable[..., object]:
    """A model that runs a command: `{name}` in it becomes a parameter, stdout is the prediction.

    What the command writes to stderr goes to the log. Its stdout is read as JSON if it is JSON, as
    text if not. The model raises RuntimeError when the command's status is not 0.
    """
    words = shlex.split(template)
    names = [name for word in words for _, name, _, _ in string.Formatter().parse(word) if name]

    def model(**params: str) -> object:
        done = subprocess.run(  # noqa: S603 - to run what the user names is what it is for
            [word.format(**params) for word in words], capture_output=True, check=False
        )
        sys.stderr.write(done.stderr.decode("utf-8", "replace"))
        if done.returncode:
            raise RuntimeError(f"{words[0]} ended with status {done.returncode}")
        text = done.stdout.decode("utf-8", "replace")
        try:
            return json.loads(text)
        except ValueError:
            return text

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=str)
        for name in dict.fromkeys(names)
    ]
    model.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return model


def _read_gray(path: Path) -> np.ndarray[Any, np.dtype[Any]]:
    """The image in shades of gray. Raises ValueError for what is none."""
    import cv2  # noqa: PLC0415 - see above
    import numpy as np  # noqa: PLC0415

    data = path.read_bytes()
    if not data:
        raise ValueError("the file is empty")
    if data.startswith(_JPEG_START) and not data.rstrip(b"\0").endswith(_JPEG_END):
        raise ValueError("the JPEG image is cut off")  # OpenCV would fill the rest with gray
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ValueError("the file is no image that OpenCV can read")
    return image
