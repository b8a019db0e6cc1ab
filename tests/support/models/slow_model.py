"""A model that takes its time, for `test_control.py`: the service's journal shows who is inside."""

import time
from pathlib import Path


def predict(files: Path) -> dict[str, int]:
    time.sleep(0.3)
    return {"size": files.stat().st_size}
