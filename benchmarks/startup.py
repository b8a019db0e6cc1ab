"""How long a command takes to start: from an interpreter's start to its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.comparisons import Comparison, Contender, Job, Setup
from benchmarks.table import Goal, Kind, Measure

PLAIN = "python -c pass"
PROGRAM = str(Path(sys.executable).with_name("batchinfer"))
COMMANDS: tuple[tuple[str, Sequence[str], float], ...] = (
    ("import batchinfer", [sys.executable, "-c", "import batchinfer"], 0.020),
    ("batchinfer --help", [PROGRAM, "--help"], 0.060),
    ("batchinfer run --help", [PROGRAM, "run", "--help"], 0.120),
)
"""Name, command, and the seconds that it may take more than plain Python."""


@contextmanager
def compare(setup: Setup) -> Iterator[Comparison]:
    plain = Contender(PLAIN, partial(setup.ours.take_command, [sys.executable, "-c", "pass"]))
    yield Comparison(
        Measure.SECONDS,
        [
            *(
                Contender(name, partial(setup.ours.take_command, command))
                for name, command, _ in COMMANDS
            ),
            plain,
        ],
        [
            Goal(Measure.SECONDS, more, (PLAIN,), Kind.DIFFERENCE, at_most=True, of=name)
            for name, _, more in COMMANDS
        ],
        rounds=5 * setup.rounds,
    )


JOBS = (Job("start", compare),)
