"""One controller and many workers on one service of unknown size, in virtual time.

`python -m benchmarks.flow.distributed` compares, in the scenarios of `python -m benchmarks.flow`:

* `local`: the engine itself makes the calls, as without a cluster;
* `N workers`: the same engine; its attempts are carried out by so many workers, which cost delays,
  and come one after another (`workers.py` has the rules);
* `dying`: so many workers, each of which lives for half an hour in the mean;
* `N shards`: so many runs, each with its own controller and its part of the items, none of which
  knows of the others (`run --shard`; sync mode).

A cell is the efficiency (the oracle's makespan by its own) and the share of wasted calls.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from os import cpu_count
from pathlib import Path
from statistics import fmean

from benchmarks.flow.controllers import ORACLE, OURS
from benchmarks.flow.plans import JobPlan
from benchmarks.flow.running import Run, play
from benchmarks.flow.scenarios import STRAGGLERS, Scenario, draw_all
from benchmarks.flow.tables import Goal, text_of_goals
from benchmarks.flow.workers import Fleet

WORKERS = (1, 4, 16, 64)
DYING = 64
LIFE = 1_800.0
SHARDS = 16
WITHIN = 0.03
"""No worse than the same controller without workers by more than this."""
LOCAL = "local"
SHARDED = f"{SHARDS} shards"
DYING_NAME = f"{DYING} dying"


@dataclass(frozen=True, slots=True)
class Setting:
    """Who makes the calls."""

    name: str
    fleet: Fleet | None = None
    shards: int = 1
    has_goal: bool = True

    @property
    def controller(self) -> str:
        """Which one it is."""
        return ORACLE if self.name == ORACLE else OURS


def settings_for(workers: Sequence[int]) -> list[Setting]:
    """What is compared, the reference first."""
    return [
        Setting(ORACLE, has_goal=False),
        Setting(LOCAL, has_goal=False),
        *(Setting(f"{number} workers", Fleet(number)) for number in workers),
        Setting(DYING_NAME, Fleet(DYING, lives=LIFE)),
        Setting(SHARDED, shards=SHARDS, has_goal=False),
    ]


Found = Mapping[tuple[str, str], Sequence[Run]]
"""By scenario and setting, a run for each seed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 1 if a goal is missed."""
    given = _parser().parse_args(arguments)
    settings = settings_for(given.workers)
    scenarios = list(draw_all(given.only, given.seeds, held_out=given.held_out))
    found = _play_all(scenarios, settings, given.processes)
    if given.json:
        runs = [
            {"setting": setting, **asdict(run)}
            for (_, setting), runs in found.items()
            for run in runs
        ]
        given.json.write_text(json.dumps(runs, indent=1))
    goals = goals_of(found, settings)
    print(text_of(found, settings))
    print("\ngoals\n" + text_of_goals(goals))
    return 0 if all(goal.reached for goal in goals) else 1


def efficiency(found: Found, scenario: str, setting: str) -> float:
    """The mean over the seeds."""
    pairs = zip(found[scenario, ORACLE], found[scenario, setting], strict=True)
    return fmean(
        # Of stragglers the ideal is the work itself: the oracle's last call may be a slow one.
        (one.bound if scenario in STRAGGLERS else ideal.makespan) / one.makespan
        for ideal, one in pairs
    )


def waste(found: Found, scenario: str, setting: str) -> float:
    """Calls that brought nothing, as a share of the items; the mean over the seeds."""
    return fmean(run.wasted / run.items for run in found[scenario, setting])


def goals_of(found: Found, settings: Sequence[Setting]) -> list[Goal]:
    """What workers may cost in the worst scenario, beside the same controller without them."""
    goals = []
    names = dict.fromkeys(scenario for scenario, _ in found)
    for setting in settings:
        if not setting.has_goal:
            continue
        ratio = min(
            efficiency(found, name, setting.name) / efficiency(found, name, LOCAL) for name in names
        )
        more = max(
            waste(found, name, setting.name) - lost(found, name, setting.name)
            - waste(found, name, LOCAL)
            for name in names
        )  # fmt: skip
        runs = [run for name in names for run in found[name, setting.name]]
        missing = sum(run.items - run.finished for run in runs)
        title = setting.name
        goals += [
            Goal(f"{title}: efficiency beside local, at least 0.97", ratio, ratio >= 1 - WITHIN),
            Goal(f"{title}: more wasted, % of the items, at most 3", more * 100, more <= WITHIN),
            Goal(f"{title}: items without a result, 0", missing, missing == 0),
        ]
    return goals


def lost(found: Found, scenario: str, setting: str) -> float:
    """What was in flight of workers that died, as a share of the items; the mean over the seeds."""
    return fmean(run.begun_again / run.items for run in found[scenario, setting])


def text_of(found: Found, settings: Sequence[Setting]) -> str:
    """A line for each scenario, a column for each setting."""
    columns = [setting.name for setting in settings if setting.name != ORACLE]
    names = dict.fromkeys(scenario for scenario, _ in found)
    lines = [f"{'scenario':<24}{'ideal s':>9}" + "".join(f"{name:>14}" for name in columns)]
    for name in names:
        ideal = fmean(run.makespan for run in found[name, ORACLE])
        cells = (_cell(found, name, column) for column in columns)
        lines.append(f"{name:<24}{ideal:>9,.0f}" + "".join(f"{cell:>14}" for cell in cells))
    means = (_mean(found, names, column) for column in columns)
    lines.append(f"{'mean':<33}" + "".join(f"{cell:>14}" for cell in means))
    dying = [run for name in names for run in found[name, DYING_NAME]]
    lines.append(
        f"{DYING_NAME}: {sum(run.deaths for run in dying)} workers died, "
        f"{sum(run.begun_again for run in dying)} attempts began again"
    )
    return "\n".join(lines)


def _mean(found: Found, names: Iterable[str], setting: str) -> str:
    there = [name for name in names if (name, setting) in found]
    mean = fmean(efficiency(found, name, setting) for name in there)
    return f"{mean:.3f} {fmean(waste(found, name, setting) for name in there):>6.1%}"


def _cell(found: Found, scenario: str, setting: str) -> str:
    if (scenario, setting) not in found:
        return "-"
    return f"{efficiency(found, scenario, setting):.3f} {waste(found, scenario, setting):>6.1%}"


def _play_all(
    scenarios: Sequence[Scenario], settings: Sequence[Setting], processes: int
) -> dict[tuple[str, str], list[Run]]:
    pairs = [
        (scenario, setting)
        for scenario in scenarios
        for setting in settings
        if setting.shards == 1 or not isinstance(scenario.plan, JobPlan)
    ]
    with ProcessPoolExecutor(processes) as pool:
        futures = [
            pool.submit(
                play, scenario, setting.controller, fleet=setting.fleet, shards=setting.shards
            )
            for scenario, setting in pairs
        ]
        for done, _ in enumerate(as_completed(futures), 1):
            print(f"{done} of {len(futures)}", file=sys.stderr, flush=True)
    found: dict[tuple[str, str], list[Run]] = {}
    for (scenario, setting), future in zip(pairs, futures, strict=True):
        found.setdefault((scenario.name, setting.name), []).append(future.result())
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flow.distributed")
    add = parser.add_argument
    add("--only", default="", metavar="TEXT", help="scenarios whose name holds this")
    add("--workers", type=int, nargs="*", default=WORKERS, metavar="N")
    add("--seeds", type=int, default=1, metavar="N", help="how many of each scenario")
    add("--held-out", action="store_true", help="other seeds, and wider ranges")
    add("--processes", type=int, default=cpu_count() or 1, metavar="N")
    add("--json", type=Path, metavar="FILE", help="every run, for programs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
