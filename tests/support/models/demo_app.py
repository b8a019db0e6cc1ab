"""A model with the inputs of the tutorial's demo app, and one with those of its YOLO."""

from pathlib import Path
from typing import Annotated, Any, Literal


def demo_app(  # noqa: PLR0917 - as the demo app has them
    demo_image: Annotated[Path, "An image."],
    demo_audio: Annotated[Path, "A sound."],
    demo_video: Annotated[Path, "A video."],
    demo_str: Annotated[str, "Any text."] = "some-string",
    demo_str_choice: Annotated[Literal["choice1", "choice2"], "One of two."] = "choice2",
    demo_int: Annotated[int, "A number."] = 1,
    demo_int_range: int = 50,
    demo_float: float = 0.1,
    demo_bool: bool = True,
    demo_dict: dict[str, Any] = {"a": 0},  # noqa: B006 - as above
    demo_list_of_floats: list[float] = [0.1],  # noqa: B006 - as above
) -> dict[str, Any]:
    """Return everything as it arrived; of files, their sizes."""
    return {
        name: value.stat().st_size if isinstance(value, Path) else value
        for name, value in locals().items()
    }


def bears(files: Annotated[Path, "Input an image or video."]) -> list[str]:
    """Find a bear, in the tutorial's way: a list of JSON texts."""
    return [f'[\n  {{\n    "name": "bear",\n    "size": {files.stat().st_size}\n  }}\n]']
