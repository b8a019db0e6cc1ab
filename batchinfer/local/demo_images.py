"""Photographs for the demo: real ones from scikit-image's wheel, variants of them, and bad files.

scikit-image ships a score of photographs under free licences (its `data/README.txt`); they are
read where they lie, nothing is downloaded. To have some fifty, each is also mirrored, darkened
and cut in half: said plainly, since those are no photographs of their own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from batchinfer.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    Picture: TypeAlias = np.ndarray[Any, np.dtype[Any]]

DEMO_IMAGES = {
    "people": ("astronaut.png", "camera.png"),
    "animals": ("chelsea.png",),
    "things": (
        "coffee.png",
        "coins.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "clock_motion.png",
    ),
    "surfaces": ("brick.png", "grass.png", "gravel.png"),
    "sky": ("rocket.jpg", "hubble_deep_field.jpg", "moon.png"),
}
"""Folder -> photographs, by their names in scikit-image."""

BAD_IMAGES = ("bad/empty.jpg", "bad/truncated.jpg", "bad/really text.jpg")
"""Files that no model can read."""


def write_demo_images(folder: Path) -> int:
    """Fill a folder; how many good images are in it. Raises ConfigError without scikit-image."""
    shipped = _skimage_data_dir()
    for name, photographs in DEMO_IMAGES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for photograph in photographs:
            original = shipped / photograph
            (folder / name / photograph).write_bytes(original.read_bytes())
            _write_variants(original, folder / name)
    _write_bad_images(folder)
    return (1 + len(_IMAGE_VARIANTS)) * sum(map(len, DEMO_IMAGES.values()))


def _write_variants(original: Path, folder: Path) -> None:
    import cv2  # noqa: PLC0415 - only the demo needs it

    picture = cv2.imread(str(original))
    assert picture is not None  # noqa: S101 - a photograph from a package
    for name, change in _IMAGE_VARIANTS.items():
        cv2.imwrite(str(folder / f"{original.stem}-{name}.jpg"), change(picture))


def _write_bad_images(folder: Path) -> None:
    good = (folder / "people" / "astronaut-mirrored.jpg").read_bytes()
    contents = b"", good[: len(good) // 2], b"This is no image, whatever its name says.\n"
    for name, data in zip(BAD_IMAGES, contents, strict=True):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


def _skimage_data_dir() -> Path:
    """Where scikit-image keeps its photographs; it is not imported for that."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ConfigError("the demo needs photographs: pip install 'batchinfer[demo]'")
    return Path(spec.origin).parent / "data"


_IMAGE_VARIANTS: dict[str, Callable[[Picture], Picture]] = {
    "mirrored": lambda picture: picture[:, ::-1],
    "darker": lambda picture: (picture * 0.6).astype(picture.dtype),
    "upper-half": lambda picture: picture[: len(picture) // 2],
}
