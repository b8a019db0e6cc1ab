"""Traces as pictures: what the limit did while the service did what it did."""

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
from matplotlib.axes import Axes  # noqa: E402

from benchmarks.flow.controllers import ORACLE  # noqa: E402
from benchmarks.flow.running import Run  # noqa: E402


def draw_plots(runs: Sequence[Run], folder: Path) -> list[Path]:
    """A file per scenario and seed, a row per controller; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for (name, seed), group in groupby(runs, key=attrgetter("scenario", "seed")):
        rows = list(group)
        words = "".join(letter if letter.isalnum() else " " for letter in name).split()
        file = folder / f"{'-'.join(words)}-{seed}.svg"
        _draw(rows, f"{name} #{seed}", file)
        files.append(file)
    return files


def _draw(runs: Sequence[Run], title: str, file: Path) -> None:
    figure, axes = plt.subplots(
        len(runs), 1, sharex=True, squeeze=False, figsize=(9, 1.9 * len(runs))
    )
    for run, plot in zip(runs, axes[:, 0], strict=True):
        _draw_one(run, plot)
    axes[0, 0].set_title(title)
    axes[-1, 0].legend(loc="upper right", fontsize="small", ncols=5)
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _draw_one(run: Run, plot: Axes) -> None:
    at = [moment.at for moment in run.trace]
    for what, style in (
        ("ceiling", {"color": "0.8", "linewidth": 4}),
        ("up", {"color": "tab:green"}),
        ("in_flight", {"color": "tab:blue"}),
        ("limit", {"color": "tab:red", "linestyle": "--"}),
    ):
        if what != "limit" or run.controller != ORACLE:
            values = [getattr(moment, what) for moment in run.trace]
            plot.step(at, values, where="post", label=what.replace("_", " "), **style)
    highest = max((max(moment.ceiling, moment.up) for moment in run.trace), default=1)
    plot.set_ylim(0, 2.5 * highest + 5)
    plot.set_ylabel(f"{run.controller}\n{run.makespan:,.0f} s", fontsize="small")
