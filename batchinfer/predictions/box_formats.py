"""The meaning of four numbers, by the key they are under.

============================  =====================================================================
four numbers under            are
============================  =====================================================================
`xyxy`, `ltrb`, `bbox_2d`     left, top, right, bottom
`tlwh`, `ltwh`, `rect`        left, top, width, height
`cxcywh`, `xcycwh`            centre, width, height
`detection_boxes`             top, left, bottom, right (TensorFlow)
`box_2d`                      the same in thousandths (Gemini)
`xywh`                        decided for the run: centre (as in ultralytics), width, height; or
                              left, top, width, height
any other of `BOXES`          decided for the run: corners; left, top, width, height; or centre,
                              width, height
`...n`, `normalized_...`      in fractions of the picture
============================  =====================================================================

Keys of sides in a dict are unambiguous, except `x`, `y` beside `width`: whether these are left and
top or the centre is decided for the run, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Literal, TypeAlias

BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh", "yxyx", "xxyy"]
"""What four numbers are, one after the other: corners; left, top, width, height; centre, width,
height; top, left, bottom, right; left, right, top, bottom."""
BoxFormatQuestion: TypeAlias = Literal["list", "xywh", "named"]
"""What only many predictions can tell: the order of four numbers in a list; of four numbers under
the name `xywh`; of `x`, `y`, `width`, `height`."""
BoxFormatOrQuestion: TypeAlias = Literal[
    "xyxy", "xywh", "cxcywh", "yxyx", "xxyy", "?list", "?xywh", "?named"
]
"""An order, or the question that decides it."""
FourNumbers: TypeAlias = tuple[float, float, float, float]

BOX_FORMAT_CANDIDATES: Final[Mapping[str, tuple[BoxFormat, ...]]] = {
    "list": ("xyxy", "xywh", "cxcywh"),
    "xywh": ("cxcywh", "xywh"),
    "named": ("xywh", "cxcywh"),
}
"""What may be the answer to a question; the first, if nothing speaks against it."""
BOX_FORMAT_NAMES: Final[Mapping[str, str]] = {
    "xyxy": "corners (left, top, right, bottom)",
    "xywh": "left, top, width, height",
    "cxcywh": "centre, width, height",
    "yxyx": "top, left, bottom, right",
    "xxyy": "left, right, top, bottom",
}
"""For people."""

BOX_KEY_FORMATS: Final[Mapping[str, BoxFormatOrQuestion]] = {
    **dict.fromkeys(("xyxy", "ltrb", "bboxxyxy", "boxxyxy", "bbox2d", "recboxes"), "xyxy"),
    **dict.fromkeys(("tlwh", "ltwh", "rect", "roi", "rois", "bboxxywh"), "xywh"),
    **dict.fromkeys(("cxcywh", "xcycwh", "bboxcxcywh"), "cxcywh"),
    **dict.fromkeys(("detectionboxes", "detectionbox", "box2d"), "yxyx"),
    **dict.fromkeys(("xywh", "boxxywh"), "?xywh"),
    **dict.fromkeys(
        (
            *("box", "boxes", "bbox", "bboxes", "bndbox", "boundingbox", "boundingboxes"),
            *("rectangle", "rectangles", "boundingrect", "predboxes", "facerectangle"),
            *("facebox", "quadboxes", "coordinates", "coords", "location"),
        ),
        "?list",
    ),
}
"""Keys (see `values.spelled`) of what can be a box."""
AMBIGUOUS_BOX_KEYS: Final = frozenset(("coordinates", "coords", "location"))
"""These may as well say where on earth."""
PLURAL_BOX_KEYS: Final = frozenset(
    (
        *("boxes", "bboxes", "boundingboxes", "detectionboxes", "predboxes", "rectangles", "rois"),
        *("recboxes", "quadboxes"),
    )
)
"""Those of `BOXES` that hold the boxes of a whole picture."""
SIDE_KEY_FORMATS: Final[tuple[tuple[tuple[str, str, str, str], BoxFormatOrQuestion], ...]] = (
    (("xmin", "ymin", "xmax", "ymax"), "xyxy"),
    (("x1", "y1", "x2", "y2"), "xyxy"),
    (("x0", "y0", "x1", "y1"), "xyxy"),
    (("left", "top", "right", "bottom"), "xyxy"),
    (("minx", "miny", "maxx", "maxy"), "xyxy"),
    (("leftcol", "toprow", "rightcol", "bottomrow"), "xyxy"),
    (("left", "top", "width", "height"), "xywh"),
    (("xmin", "ymin", "width", "height"), "xywh"),
    (("originx", "originy", "width", "height"), "xywh"),
    (("xcenter", "ycenter", "width", "height"), "cxcywh"),
    (("xcentre", "ycentre", "width", "height"), "cxcywh"),
    (("centerx", "centery", "width", "height"), "cxcywh"),
    (("cx", "cy", "width", "height"), "cxcywh"),
    (("cx", "cy", "w", "h"), "cxcywh"),
    (("xcenter", "ycenter", "w", "h"), "cxcywh"),
    (("x", "y", "width", "height"), "?named"),
    (("x", "y", "w", "h"), "?named"),
)
"""Names of the sides in a dict."""
ALL_SIDE_KEYS: Final = frozenset(side for sides, _ in SIDE_KEY_FORMATS for side in sides)


@lru_cache(maxsize=1024)
def strip_normalized(name: str) -> tuple[str, bool]:
    """The key without the part that says that coordinates are fractions, and whether it had one."""
    for word in ("normalized", "normalised", "relative"):
        if word in name:
            return name.replace(word, ""), True
    return (
        (name[:-1], True) if name.endswith("n") and name[:-1] in BOX_KEY_FORMATS else (name, False)
    )
