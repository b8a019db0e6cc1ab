"""How fast sources are: lines a second and memory of a manifest, time to the first of many files.

Run it with `python -m benchmarks.sources`; each case in a process of its own, for its peak memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from batchinfer.sources import open_source

LINES = 1_000_000
FILES = 100_000


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--lines", type=int, default=LINES)
    ask.add_argument("--files", type=int, default=FILES)
    ask.add_argument("--case", choices=CASES, help="measure one, here")
    ask.add_argument("--source", help="what --case reads")
    given = ask.parse_args()
    if given.case:
        CASES[given.case](given.source)
        return
    with tempfile.TemporaryDirectory() as folder:
        for case, source in _prepare(Path(folder), given.lines, given.files):
            command = [sys.executable, "-m", "benchmarks.sources", "--case", case]
            subprocess.run([*command, "--source", source], check=True)


def check(source: str) -> None:
    """Lines that `check` reads in a second: parsed, keys compared."""
    before = _peak()
    began = time.perf_counter()
    opened = open_source([source])
    opened.check()
    seconds = time.perf_counter() - began
    lines = sum(1 for part in opened.parts for _ in part.iter_entries(lambda *_: None))
    rate = lines / seconds
    name = Path(source).name
    print(f"check  {name:<14} {rate:>11,.0f} lines/s   peak +{_peak() - before:5.1f} MB")


def scan(source: str) -> None:
    """Time to a folder's first item, and files a second."""
    before = _peak()
    began = time.perf_counter()
    items = iter(open_source([source]))
    next(items)
    first = time.perf_counter() - began
    files = 1 + sum(1 for _ in items)
    rate = files / (time.perf_counter() - began)
    print(
        f"scan   {Path(source).name:<14} {rate:>11,.0f} files/s   peak +{_peak() - before:5.1f} "
        f"MB   first of {files:,} after {first * 1000:.1f} ms"
    )


CASES: dict[str, Callable[[str], None]] = {"check": check, "scan": scan}


def _prepare(folder: Path, lines: int, files: int) -> list[tuple[str, str]]:
    table, objects = folder / "table.csv", folder / "objects.jsonl"
    with table.open("w") as csv, objects.open("w") as jsonl:
        csv.write("path\n")
        for n in range(lines):
            path = f"images/{n % 97:02d}/photo-{n:07d}.jpg"
            csv.write(f"{path}\n")
            jsonl.write(f'{{"path": "{path}"}}\n')
    flat, tree = folder / "one folder", folder / "100 folders"
    flat.mkdir()
    for n in range(files):
        (flat / f"{n}.jpg").touch()
    for n in range(100):
        (tree / str(n)).mkdir(parents=True)
        for m in range(files // 100):
            (tree / str(n) / f"{m}.jpg").touch()
    cases = {"check": (table, objects), "scan": (flat, tree)}
    return [(case, str(source)) for case, sources in cases.items() for source in sources]


def _peak() -> float:
    """This process's peak memory, MB; rusage's would be inherited from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
