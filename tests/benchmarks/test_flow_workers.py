import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.flow.controllers import OURS
from benchmarks.flow.distributed import LOCAL, Setting, goals_of, text_of
from benchmarks.flow.draws import Draws
from benchmarks.flow.plans import JobPlan, Plan
from benchmarks.flow.running import Run, play
from benchmarks.flow.scenarios import Scenario
from benchmarks.flow.workers import Fleet
from support.paths import ROOT

TWO = Draws("constant", 2.0)
CALLS = Scenario("calls", 200, Plan(TWO, ((0.0, 8),), warm=8), 1)
JOBS = Scenario("jobs", 100, JobPlan(TWO, ((0.0, 8),), overhead=1.0), 1)


@pytest.mark.parametrize("scenario", [CALLS, JOBS], ids=["sync", "async"])
@pytest.mark.parametrize("number", [1, 5])
def test_workers_bring_every_item_and_waste_nothing(scenario, number):
    alone, run = play(scenario, OURS), play(scenario, OURS, fleet=Fleet(number))
    assert run.finished == scenario.items
    assert run.wasted <= 0.02 * scenario.items
    assert run.makespan == pytest.approx(alone.makespan, rel=0.1)
    assert (run.deaths, run.begun_again) == (0, 0)


def test_what_the_dead_had_in_flight_is_begun_again_and_costs_as_much():
    run = play(CALLS, OURS, fleet=Fleet(4, lives=20.0, replaced_after=5.0))
    assert run.finished == CALLS.items
    assert run.deaths >= 3
    assert run.begun_again > 0
    # At the end the last of them look like stragglers, and are given a second call.
    assert run.wasted <= run.begun_again + 0.02 * CALLS.items


def test_an_object_that_a_dead_worker_had_put_is_no_second_job():
    run = play(JOBS, OURS, fleet=Fleet(4, lives=10.0, replaced_after=5.0))
    assert (run.finished, run.wasted) == (JOBS.items, 0)
    assert run.deaths >= 3


def test_without_a_worker_attempts_wait_for_one():
    fleet = Fleet(1, lives=15.0, replaced_after=30.0)
    run = play(CALLS, OURS, fleet=fleet)
    assert run.finished == CALLS.items
    assert run.makespan > 60.0


def test_batches_that_take_long_cost_what_they_take():
    late = replace(Fleet(1), delay=(5.0, 5.0), network=(0.0, 0.0))
    one = Scenario("one", 1, Plan(TWO, ((0.0, 1),), warm=1, latency=0.0), 1)
    assert play(one, OURS, fleet=late).makespan == pytest.approx(5 + 2 + 5, abs=0.1)


def test_shards_know_nothing_of_each_other():
    run = play(CALLS, OURS, shards=4)
    assert run.finished == CALLS.items
    again = play(CALLS, OURS, shards=4)
    assert (run.makespan, run.fates) == (again.makespan, again.fates)


# The table ----------------------------------------------------------------------------------------


def ran(makespan: float, **more) -> list[Run]:
    numbers = {"finished": 100, "wasted": 0, "bound": 90.0, **more}
    return [Run("one", 1, OURS, 100, makespan, fates={}, most_waiting=0, would_fail=0, **numbers)]


def found(*runs: list[Run]) -> dict[tuple[str, str], list[Run]]:
    names = ("oracle", LOCAL, "4 workers", "64 dying")
    return {("one", name): taken for name, taken in zip(names, runs, strict=True)}


SETTINGS = [
    Setting("oracle", has_goal=False),
    Setting(LOCAL, has_goal=False),
    Setting("4 workers", Fleet(4)),
    Setting("64 dying", Fleet(64, lives=60.0)),
]


def test_goals_are_held_against_the_same_controller_without_workers():
    good = found(ran(100), ran(104), ran(106, wasted=3), ran(105, wasted=20, begun_again=18))
    assert all(goal.reached for goal in goals_of(good, SETTINGS))
    bad = found(ran(100), ran(104), ran(110, wasted=4, finished=99), ran(104, wasted=20))
    reached = [goal.reached for goal in goals_of(bad, SETTINGS)]
    assert reached == [False, False, False, True, False, True]
    assert "4 workers" in text_of(good, SETTINGS)


def test_the_command_prints_the_table_and_writes_what_it_found(tmp_path):
    file = tmp_path / "runs.json"
    command = [sys.executable, "-m", "benchmarks.flow.distributed", "--only", "small"]
    flags = ["--workers", "4", "--processes", "1", "--json", str(file)]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    settings = [run["setting"] for run in json.loads(file.read_text())]
    assert settings == ["oracle", LOCAL, "4 workers", "64 dying", "16 shards"]
    assert "goals" in done.stdout
