"""`python -m benchmarks.flow`: every scenario, every controller, and the tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from os import cpu_count
from pathlib import Path

from benchmarks.flow import tables
from benchmarks.flow.controllers import NAMES, NO_HEDGE, ORACLE, OURS
from benchmarks.flow.running import Run, play
from benchmarks.flow.scenarios import STRAGGLERS, Scenario, draw_all


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if a goal is missed."""
    given = _parser().parse_args(arguments)
    scenarios = list(draw_all(given.only, given.seeds, held_out=given.held_out))
    names = [name for name in NAMES if _is_asked_for(name, given.controller)]
    if not scenarios or not (names or given.controller == ORACLE):
        sys.exit("nothing to run: no scenario or no controller of that name")
    every = given.every if given.trace or given.plots else None
    pairs = [(one, who) for one in scenarios for who in _controllers(one, names)]
    runs = _in_order(_play_all(pairs, every, given.processes), pairs)
    if given.json:
        given.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    if given.plots:
        from benchmarks.flow.plots import draw_plots  # noqa: PLC0415 - matplotlib, only here

        draw_plots(runs, given.plots)
    if given.trace:
        asked = (given.controller or "").split(",")
        traced = [run for run in runs if run.controller != ORACLE or ORACLE in asked]
        _write_traces(traced, given.trace)
    return _report(runs)


def _report(runs: Sequence[Run]) -> int:
    stragglers = [run for run in runs if run.scenario in STRAGGLERS]
    compared = tables.scores([run for run in runs if run.scenario not in STRAGGLERS])
    goals = [*tables.goals(compared), *tables.goals_of_stragglers(stragglers)]
    if compared:
        print(tables.text_of_scores(compared))
    if stragglers:
        print("\n" + tables.text_of_stragglers(stragglers))
    if goals:
        print("\ngoals\n" + tables.text_of_goals(goals))
    return 0 if all(goal.reached for goal in goals) else 1


def _controllers(scenario: Scenario, names: Sequence[str]) -> list[str]:
    """Who is compared there, the oracle first."""
    if scenario.name in STRAGGLERS:
        return [ORACLE, *([OURS, NO_HEDGE] if OURS in names else names)]
    return [ORACLE, *names]


def _play_all(
    pairs: Sequence[tuple[Scenario, str]], every: float | None, processes: int
) -> Iterator[Run]:
    """The oracle first, for it says when the others are cut off."""
    with ProcessPoolExecutor(processes) as pool:
        waiting: dict[Future[Run], Scenario] = {
            pool.submit(play, one, who, trace=every): one for one, who in pairs if who == ORACLE
        }
        done = 0
        while waiting:
            future = next(as_completed(waiting))
            scenario, run = waiting.pop(future), future.result()
            if run.controller == ORACLE:
                cut = tables.CUT_AT * run.makespan
                for one, who in pairs:
                    if one is scenario and who != ORACLE:
                        waiting[pool.submit(play, one, who, cut=cut, trace=every)] = one
            done += 1
            _tell(f"{done} of {len(pairs)}: {run.scenario} #{run.seed}, {run.controller}")
            yield run
    _tell("")


def _in_order(runs: Iterator[Run], pairs: Sequence[tuple[Scenario, str]]) -> list[Run]:
    found = {(run.scenario, run.seed, run.controller): run for run in runs}
    return [found[one.name, one.seed, who] for one, who in pairs]


def _write_traces(runs: Sequence[Run], where: str) -> None:
    text = "\n\n".join(tables.text_of_trace(run) for run in runs) + "\n"
    if where == "-":
        print(text)
    else:
        Path(where).write_text(text)


def _is_asked_for(name: str, asked: str | None) -> bool:
    return asked is None or name in asked.split(",")


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78.78}", end="" if text else "\r", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow", description=__doc__)
    add = parser.add_argument
    add("--only", default="", metavar="TEXT", help="scenarios whose name holds this")
    add("--controller", metavar="NAMES", help="only these, separated by commas")
    add("--seeds", type=int, default=1, metavar="N", help="how many of each scenario")
    add("--held-out", action="store_true", help="other seeds, and wider ranges")
    add("--processes", type=int, default=cpu_count() or 1, metavar="N")
    add("--json", type=Path, metavar="FILE", help="every run, for programs")
    add("--trace", metavar="FILE", help="what happened, moment by moment; - is standard output")
    add("--every", type=float, default=5.0, metavar="S", help="simulated seconds between moments")
    add("--plots", type=Path, metavar="DIR", help="the traces as pictures (SVG)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
