"""Plugins of tests: each a file of `tests/plugins/`, found by its entry point alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "plugins"


def install(site: Path, *, group: str, name: str, target: str) -> dict[str, str]:
    """Install a package that has one entry point into the folder `site`.

    `target`: "module:attribute" of a file in `tests/plugins/`. Returns the environment variables
    with which a command finds it.
    """
    info = site / f"batchinfer_test_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: batchinfer-test-{name}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    paths = (str(site), str(PLUGINS), os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def installed(site: Path, *, group: str, name: str, target: str) -> Iterator[None]:
    """The same for this process."""
    install(site, group=group, name=name, target=target)
    added = [str(site), str(PLUGINS)]
    sys.path[:0] = added
    invalidate_caches()
    try:
        yield
    finally:
        for path in added:
            sys.path.remove(path)
