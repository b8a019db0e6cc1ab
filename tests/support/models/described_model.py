"""A model with a parameter of every kind, for `test_describe.py`."""

from pathlib import Path
from typing import Annotated, Literal


def predict(  # noqa: PLR0917 - a parameter of every kind
    image: Annotated[Path, "A photograph.\nJPEG or PNG."],
    size: Annotated[int, "Pixels."],
    kind: Annotated[Literal["cat", "dog"], "Which animal."] = "cat",
    flag: bool = False,
    imgsz: list = [1, 2],  # noqa: B006 - stands so in the help
    conf: float = 0.25,
    accept: str = "application/json",
) -> object:
    return {"bytes": image.stat().st_size, "size": size, "kind": kind, "flag": flag, "list": imgsz}
