"""From runs to tables for people; goals beside what was reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log

from benchmarks.flow.controllers import ORACLE, OURS
from benchmarks.flow.running import Moment, Run

CUT_AT = 10.0
"""Runs are cut off after so many times the ideal; their efficiency counts as the reciprocal."""


@dataclass(frozen=True, slots=True)
class Score:
    """One run beside the ideal."""

    run: Run
    efficiency: float
    """Ideal makespan by its own; 1.0: the oracle's."""
    wasted: float
    """Calls that brought nothing, as a share of the items."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What our own limit wants to reach, and where it stands."""

    what: str
    measured: float
    reached: bool


Scores = Mapping[str, Sequence[Score]]
"""By controller, each in the order of the scenarios."""


def scores(runs: Sequence[Run]) -> Scores:
    """Every run beside the oracle's of the same scenario and seed."""
    ideal = {(one.scenario, one.seed): one.makespan for one in runs if one.controller == ORACLE}
    found: dict[str, list[Score]] = {}
    for one in runs:
        best = ideal[one.scenario, one.seed]
        efficiency = 1 / CUT_AT if one.is_cut else best / one.makespan
        found.setdefault(one.controller, []).append(Score(one, efficiency, one.wasted / one.items))
    return found


def geometric(found: Sequence[Score]) -> float:
    """The geometric mean of efficiencies."""
    return exp(sum(log(one.efficiency) for one in found) / len(found))


def text_of_scores(found: Scores) -> str:
    """A line per scenario and seed, a column per controller: efficiency, and waste in percent."""
    others = [name for name in found if name != ORACLE]
    lines = [
        f"{'scenario':<24}{'items':>6}{'ideal s':>9}{'bound':>7}"
        + "".join(f"{name:>13}" for name in others)
    ]
    for row, ideal in enumerate(found[ORACLE]):
        run = ideal.run
        name = f"{run.scenario} #{run.seed}"
        cells = "".join(f"{_cell(found[other][row]):>13}" for other in others)
        bound = run.bound / run.makespan
        lines.append(f"{name:<24}{run.items:>6}{run.makespan:>9,.0f}{bound:>7.2f}{cells}")
    for what, of in _SUMMARY.items():
        lines.append(f"{what:<46}" + "".join(f"{of(found[other]):>13}" for other in others))
    return "\n".join(lines)


def goals(found: Scores) -> list[Goal]:
    """What our own limit is to reach, and where it stands."""
    if OURS not in found:
        return []
    ours, peers = found[OURS], [name for name in found if name not in {OURS, ORACLE}]
    mean, worst = geometric(ours), min(one.efficiency for one in ours)
    waste = max(one.wasted for one in ours)
    reached = [
        Goal("geometric mean of efficiency, at least 0.97", mean, mean >= 0.97),
        Goal("never below 0.90", worst, worst >= 0.90),
        Goal("wasted calls in any scenario, at most 1 %", waste * 100, waste <= 0.01),
    ]
    if peers:
        best = max(geometric(found[name]) for name in peers)
        behind = min(
            one.efficiency / found[name][row].efficiency
            for row, one in enumerate(ours)
            for name in peers
        )
        reached += [
            Goal(f"first in the mean (the best peer: {best:.3f})", mean, mean > best),
            Goal("beside the best peer in any scenario, at least 0.97", behind, behind >= 0.97),
        ]
    beaten = max(one.efficiency for all_ in found.values() for one in all_)
    reached.append(Goal("honest: nobody beats the oracle by more than 1 %", beaten, beaten <= 1.01))
    return reached


def text_of_goals(found: Sequence[Goal]) -> str:
    """A line per goal."""
    return "\n".join(
        f"  {goal.what:<62} measured {goal.measured:>7.3f}   {'ok' if goal.reached else 'MISSED'}"
        for goal in found
    )


def text_of_stragglers(runs: Sequence[Run]) -> str:
    """The scenarios in which one item in a hundred takes twenty times as long."""
    lines = [
        "stragglers: 1 % of the items take 20 times as long; ideal: the work, at full capacity",
        f"{'scenario':<16}{'controller':<16}{'ideal s':>9}{'makespan':>10}{'times':>8}{'extra':>8}",
    ]
    for one in runs:
        times, extra = one.makespan / one.bound, one.wasted / one.items
        lines.append(
            f"{one.scenario + ' #' + str(one.seed):<16}{one.controller:<16}{one.bound:>9,.0f}"
            f"{one.makespan:>10,.0f}{times:>8.3f}{extra:>8.1%}"
        )
    return "\n".join(lines)


def goals_of_stragglers(runs: Sequence[Run]) -> list[Goal]:
    """The same for the straggler table."""
    ours = [one for one in runs if one.controller == OURS]
    if not ours:
        return []
    times = max(one.makespan / one.bound for one in ours)
    extra = max(one.wasted / one.items for one in ours)
    return [
        Goal(
            "stragglers: makespan, as a multiple of the ideal, at most 1.05", times, times <= 1.05
        ),
        Goal("stragglers: extra calls, at most 2 %", extra * 100, extra <= 0.02),
    ]


def text_of_trace(run: Run) -> str:
    """What happened, moment by moment, and why the limit moved."""
    title = f"{run.scenario} #{run.seed}, {run.controller}"
    done = f"{run.finished} of {run.items} items, {run.makespan:,.0f} s, wasted {run.wasted}"
    lines = [
        f"{title}: {done}, calls {run.fates}",
        f"{'s':>7}{'limit':>7}{'flight':>7}{'up':>5}{'max':>5}{'queue':>6}{'per s':>7}",
    ]
    changes = list(run.changes)
    for moment in run.trace:
        lines.append(_line(moment))
        while changes and changes[0][0] <= moment.at:
            at, was, value, reason = changes.pop(0)
            lines.append(f"{at:>9.1f}  limit {was} -> {value}: {reason}")
    return "\n".join(lines)


def _line(moment: Moment) -> str:
    return (
        f"{moment.at:>7.0f}{moment.limit:>7}{moment.in_flight:>7}{moment.up:>5}"
        f"{moment.ceiling:>5}{moment.waiting:>6}{moment.goodput:>7.2f}"
        f"  {'#' * min(moment.up, 100)}{'.' * min(moment.waiting, 100)}"
    )


def _cell(score: Score) -> str:
    if score.run.is_cut:
        return f"<{1 / CUT_AT:.2f} {_percent(score.wasted):>5}"
    return f"{score.efficiency:.3f} {_percent(score.wasted):>5}"


_SUMMARY: Mapping[str, Callable[[Sequence[Score]], str]] = {
    "geometric mean": lambda found: f"{geometric(found):.3f}",
    "worst": lambda found: f"{min(one.efficiency for one in found):.3f}",
    "waste, mean": lambda found: f"{_mean_waste(found):.1%}",
    "waste, most": lambda found: f"{max(one.wasted for one in found):.1%}",
    "items that took more than 5 attempts": lambda found: f"{_would_fail(found):,}",
    "calls waiting there, mean of the most": lambda found: f"{_waiting(found):,.0f}",
}


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"


def _would_fail(found: Sequence[Score]) -> int:
    return sum(one.run.would_fail for one in found)


def _waiting(found: Sequence[Score]) -> float:
    return sum(one.run.most_waiting for one in found) / len(found)


def _mean_waste(found: Sequence[Score]) -> float:
    return sum(one.wasted for one in found) / len(found)
