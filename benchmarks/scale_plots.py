"""Memory and file handles of long runs, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "batchinfer"  # the same picture is the same file
mpl.rcParams["svg.fonttype"] = "none"

from matplotlib import pyplot as plt  # noqa: E402 - after the choice of what draws

from benchmarks.scale import Case, Moment  # noqa: E402

MAX_POINTS = 400


def draw_plots(cases: Sequence[Case], folder: Path) -> list[Path]:
    """A file per delivery, a line per length of run; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    watched = [case for case in cases if case.moments]
    for what, group in groupby(watched, key=attrgetter("what")):
        files.append(folder / f"scale-{what}.svg")
        _draw(what, list(group), files[-1])
    return files


def _draw(what: str, cases: Sequence[Case], file: Path) -> None:
    figure, (memory, handles) = plt.subplots(2, 1, sharex=True, figsize=(9, 5))
    for case in cases:
        moments = _thin_out(case.moments)
        end = max(moments[-1].at, 1e-9)
        share = [100 * moment.at / end for moment in moments]
        label = f"{case.items:,} items, {case.sample.seconds:,.0f} s"
        memory.plot(share, [moment.memory_mb for moment in moments], label=label)
        handles.plot(share, [moment.handles for moment in moments], label=label)
    memory.set_title(f"A run in {what} mode, whatever its length")
    memory.set_ylabel("memory, MB")
    handles.set_ylabel("open files")
    handles.set_xlabel("% of the run's time")
    for plot in (memory, handles):
        plot.set_ylim(bottom=0)
        plot.grid(color="0.9")
    memory.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _thin_out(moments: Sequence[Moment]) -> Sequence[Moment]:
    """At most so many of them, the highest of each stretch: a peak is never left out."""
    stride = -(-len(moments) // MAX_POINTS)
    return [
        max(moments[at : at + stride], key=attrgetter("memory_mb"))
        for at in range(0, len(moments), stride)
    ]
