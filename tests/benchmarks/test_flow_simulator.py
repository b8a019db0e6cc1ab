import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from batchinfer.domain import Failure, Reply
from batchinfer.flow import AttemptSample, FixedLimit, LimitAdjustment, ServiceSignal
from benchmarks.flow import tables
from benchmarks.flow.controllers import NO_HEDGE, ORACLE, OURS, PEERS, Deaf
from benchmarks.flow.draws import Draws
from benchmarks.flow.peers import Aibrix, Aimd, Gradient2, Inspect
from benchmarks.flow.plans import Burst, Guest, JobPlan, Outage, Plan
from benchmarks.flow.running import Run, play
from benchmarks.flow.scenarios import SCENARIOS, STRAGGLERS, Scenario, draw, draw_all
from benchmarks.flow.service import Service
from benchmarks.flow.timeline import Timeline
from support.paths import ROOT

FOUR = Draws("constant", 4.0)


class World:
    """A service without an engine, and what it answered."""

    def __init__(self, containers: int = 1, **numbers) -> None:
        numbers = {"warm": containers, "latency": 0.0, "grace": 1e9, **numbers}
        ceiling = numbers.pop("ceiling", ((0.0, containers),))
        self.timeline = Timeline()
        self.service = Service(Plan(FOUR, ceiling, **numbers), self.timeline)
        self.answers: list[tuple[float, int, str]] = []
        self.outcomes: list[Reply | Failure] = []

    def send(self, count: int, at: float = 0.0) -> None:
        self.timeline.advance(at)
        for number in range(1, count + 1):
            self.service.send(number, lambda outcome, number=number: self._note(number, outcome))

    def _note(self, number: int, outcome) -> None:
        code = outcome.code if isinstance(outcome, Failure) else "reply"
        self.outcomes.append(outcome)
        self.answers.append((self.timeline.now, number, code))

    def codes(self, until: float = 1e4) -> Counter[str]:
        self.timeline.advance(until)
        return Counter(code for _, _, code in self.answers)

    def replies(self, until: float = 1e4) -> list[tuple[float, int]]:
        self.timeline.advance(until)
        return [(at, number) for at, number, code in self.answers if code == "reply"]


# The service --------------------------------------------------------------------------------------


def test_a_container_serves_one_call_at_a_time_in_order():
    world = World()
    world.send(3)
    assert world.replies() == [(4.0, 1), (8.0, 2), (12.0, 3)]
    assert [outcome.server_seconds for outcome in world.outcomes] == [4.0] * 3


def test_ten_wait_for_each_container_and_the_next_is_refused_at_once():
    world = World(2)
    world.send(25)
    assert world.codes(0.0) == {"http_503": 3}
    assert len(world.replies()) == 22


def test_a_cold_service_says_so_until_its_first_container_is_up():
    world = World(1, warm=0, pull=20.0, start_up=10.0, latency=0.1)
    world.send(1)
    world.send(1, at=28.0)
    world.send(1, at=34.0)
    world.timeline.advance(100.0)
    assert [code for _, _, code in world.answers] == ["cold_start", "cold_start", "reply"]


def test_as_many_containers_start_as_calls_are_inside_up_to_the_ceiling():
    world = World(ceiling=((0.0, 8),), warm=1, start_up=10.0)
    world.send(6, at=1.0)
    world.timeline.advance(2.0)
    assert (world.service.up, world.service.starting) == (1, 5)
    world.send(5, at=3.0)
    world.timeline.advance(4.0)
    assert (world.service.up, world.service.starting) == (1, 7)
    world.timeline.advance(30.0)
    assert world.service.up == 8


def test_containers_go_when_nobody_wanted_them_for_a_while_the_last_one_too():
    world = World(4, grace=60.0)
    world.send(4)
    world.timeline.advance(60.0)
    assert world.service.up == 4
    world.timeline.advance(70.0)
    assert world.service.up == 0
    world.send(1, at=71.0)
    assert world.codes(72.0)["cold_start"] == 1


def test_containers_beyond_a_fallen_ceiling_finish_their_call_first():
    world = World(8, ceiling=((0.0, 8), (5.0, 2)))
    world.send(20)
    world.timeline.advance(5.0)
    assert (world.service.up, world.service.busy) == (8, 8)
    world.timeline.advance(8.0)
    assert (world.service.up, world.service.busy) == (2, 2)
    assert [at for at, _ in world.replies()] == [4.0] * 8 + [8.0] * 8 + [12.0] * 2 + [16.0] * 2


def test_a_call_that_was_given_up_holds_its_container_to_the_end():
    world = World(timeout=3.0)
    world.send(2)
    assert world.codes(3.0) == {"timeout": 2}
    assert world.service.inside == 2
    world.timeline.advance(7.9)
    assert world.service.busy == 1
    world.timeline.advance(8.0)
    assert (world.service.busy, world.service.tally.served) == (0, 2)


def test_another_user_who_waits_too_is_served_in_turns():
    world = World(4, guests=(Guest(0.0, 400.0, 4),))
    for _ in range(10):
        world.send(4, at=world.timeline.now)
        world.timeline.advance(world.timeline.now + 8.0)
    assert len(world.replies(until=80.0)) == pytest.approx(40, abs=4)
    assert world.service.tally.seconds == pytest.approx(80 * 4 / 2, rel=0.1)


@pytest.mark.parametrize(("tells", "seconds"), [(True, [30.0]), (False, [None])])
def test_a_burst_refuses_who_comes_and_who_waits_and_may_say_for_how_long(tells, seconds):
    world = World(bursts=(Burst(10.0, 40.0, retry_after=tells),))
    world.send(3, at=9.0)
    codes = world.codes(20.0)
    assert codes == {"http_429": 2, "reply": 1}
    assert [outcome.retry_after for outcome in world.outcomes[:1]] == seconds
    world.send(1, at=30.0)
    world.send(1, at=40.0)
    assert world.codes(50.0) == {"http_429": 3, "reply": 2}


def test_a_burst_may_let_some_through():
    world = World(50, bursts=(Burst(0.0, 100.0, rate=2.0),))
    for second in range(10):
        world.send(5, at=float(second))
    assert world.codes()["reply"] == pytest.approx(20, abs=10)
    assert world.codes()["http_429"] >= 30


@pytest.mark.parametrize(
    ("kind", "code"), [("503", "http_503"), ("unreachable", "unreachable"), ("hang", "timeout")]
)
def test_an_outage_spares_only_what_is_being_served(kind, code):
    world = World(timeout=20.0, outages=(Outage(2.0, 300.0, kind),))
    world.send(3)
    world.send(1, at=100.0)
    assert world.codes(200.0) == {"reply": 1, code: 3}
    world.send(1, at=300.0)
    assert world.codes(310.0)["reply"] == 2


def test_a_service_that_does_not_tell_says_no_seconds():
    world = World(tells=False)
    world.send(1)
    world.timeline.advance(10.0)
    assert [outcome.server_seconds for outcome in world.outcomes] == [None]


@pytest.mark.parametrize("kind", ["constant", "lognormal", "tail"])
def test_what_is_drawn_depends_on_the_item_alone_and_has_the_mean_it_says(kind):
    draws = Draws(kind, 5.0, 0.3, seed=3)
    assert draws.seconds(7, 0) == replace(draws).seconds(7, 0)
    assert draws.total(20_000) / 20_000 == pytest.approx(draws.average, rel=0.04)
    if kind != "constant":
        assert draws.seconds(7, 0) != draws.seconds(7, 1)
        assert draws.seconds(7, 0) != replace(draws, seed=4).seconds(7, 0)


# Whole runs of the engine -------------------------------------------------------------------------


def scenario(items: int = 120, plan: Plan | JobPlan | None = None) -> Scenario:
    plan = plan or Plan(FOUR, ((0.0, 8),), pull=20.0, start_up=10.0)
    return Scenario("a test", items, plan, seed=1)


def test_the_oracle_wastes_nothing_and_comes_close_to_the_bound():
    run = play(scenario(), ORACLE)
    assert (run.finished, run.wasted) == (120, 0)
    ramp = 20 + 10 * 1.1 + 2 * 2 + 10 * 1.1
    assert run.bound <= run.makespan <= run.bound + ramp + 8


@pytest.fixture(scope="module")
def ideal() -> float:
    return play(scenario(), ORACLE).makespan


@pytest.mark.parametrize("controller", [OURS, *PEERS])
def test_every_controller_brings_every_item_to_its_end_and_none_beats_the_oracle(controller, ideal):
    run = play(scenario(), controller)
    assert run.finished == 120
    assert run.makespan >= 0.99 * ideal
    assert run.fates["answered"] == 120


def test_a_run_is_the_same_each_time():
    one, two = (play(scenario(), "aimd") for _ in range(2))
    assert one == two


def test_a_run_is_cut_off():
    run = play(scenario(), "fixed 1", cut=100.0)
    assert run.is_cut
    assert run.makespan == pytest.approx(100.0)


def test_refusals_and_timeouts_are_counted_as_waste():
    plan = Plan(FOUR, ((0.0, 1),), warm=1, timeout=30.0)
    run = play(scenario(60, plan), "fixed 64", cut=200.0)
    assert run.fates["full"] > 50
    assert run.fates["slow"] > 10
    assert run.wasted >= run.fates["full"] + run.fates["slow"]
    assert run.most_waiting == 10


def test_a_trace_tells_what_happened():
    run = play(scenario(), "inspect_ai", trace=5.0)
    assert [b.at - a.at for a, b in pairwise(run.trace)] == [5.0] * (len(run.trace) - 1)
    assert max(moment.up for moment in run.trace) == 8
    assert max(moment.in_flight for moment in run.trace) > 1
    text = tables.text_of_trace(run)
    assert "a test #1, inspect_ai: 120 of 120 items" in text


def test_async_jobs_run_as_many_at_a_time_as_there_may_be():
    plan = JobPlan(FOUR, ((0.0, 4), (50.0, 8)), overhead=1.0)
    run = play(scenario(100, plan), "fixed 64", trace=1.0)
    assert (run.finished, run.wasted) == (100, 0)
    assert {moment.up for moment in run.trace if 2 < moment.at < 49} == {4}
    assert max(moment.up for moment in run.trace) == 8
    assert run.bound <= run.makespan <= run.bound + 15
    assert play(scenario(100, plan), ORACLE).makespan <= run.makespan + 1


@pytest.mark.parametrize(
    ("numbers", "bound"),
    [
        ({}, 100.0),
        ({"ceiling": ((0.0, 8), (50.0, 4))}, 150.0),
        ({"outages": (Outage(10.0, 60.0, "503"),)}, 150.0),
        ({"bursts": (Burst(10.0, 60.0),)}, 150.0),
        ({"bursts": (Burst(10.0, 60.0, rate=1.0),)}, 125.0),
        ({"guests": (Guest(0.0, 60.0, 8),)}, 130.0),
    ],
)
def test_the_bound_is_the_work_at_the_capacity_that_there_is(numbers, bound):
    plan = Plan(FOUR, numbers.pop("ceiling", ((0.0, 8),)), **numbers)
    assert scenario(200, plan).bound == pytest.approx(bound)


# Scenarios ----------------------------------------------------------------------------------------


def test_scenarios_are_drawn_from_their_seed_alone():
    for name in (*SCENARIOS, *STRAGGLERS):
        assert draw(name, 1) == draw(name, 1)
        assert draw(name, 1) != draw(name, 2)
        assert draw(name, 1).plan != draw(name, 1, held_out=True).plan
    assert len({scenario.seed for scenario in draw_all("log", 3)}) == 3


@pytest.mark.parametrize("held_out", [False, True])
def test_scenarios_are_of_a_size_that_means_something(held_out):
    for one in draw_all("", 3, held_out=held_out):
        assert 100 <= one.items <= 20_000, one
        assert 200 < one.bound < 3_000, one


# Controllers --------------------------------------------------------------------------------------


def ended(
    sign: ServiceSignal = ServiceSignal.ANSWERED,
    now: float = 0.0,
    seconds: float = 4.0,
    in_flight: int = 99,
):
    return AttemptSample(
        sign, ended_at=now, seconds=seconds, in_flight=in_flight, in_flight_at_start=in_flight
    )


def test_aimd_adds_one_per_answer_and_cuts_a_tenth_per_drop():
    limit = Aimd()
    limit.update(ended())
    assert limit.value == 11
    limit.update(ended(in_flight=5))
    assert limit.value == 11
    limit.update(ended(ServiceSignal.OVERLOADED))
    assert limit.value == 9


def test_gradient2_grows_while_the_latency_stays_and_shrinks_when_it_rises():
    limit = Gradient2()
    for _ in range(20):
        limit.update(ended())
    assert limit.value == 36
    for _ in range(20):
        limit.update(ended(seconds=40.0))
    assert limit.value < 20


def test_aibrix_probes_by_a_quarter_and_cuts_once_per_window():
    limit = Aibrix()
    for _ in range(8):
        limit.update(ended())
    assert limit.value == 20
    changes = [limit.update(ended(ServiceSignal.OVERLOADED)) for _ in range(16)]
    assert [change for change in changes if change] == [LimitAdjustment(0.0, 20, 18, "overload")]
    for _ in range(8):
        limit.update(ended())
    assert limit.value == 19


def test_inspect_doubles_until_the_first_retry_and_rests_after_a_cut():
    limit = Inspect()
    for _ in range(20):
        limit.update(ended())
    assert limit.value == 40
    for now in (0.0, 14.0):
        limit.update(ended(ServiceSignal.TIMEOUT, now))
    assert limit.value == 30
    for _ in range(30):
        limit.update(ended(now=14.9))
    assert limit.value == 30
    for _ in range(30):
        limit.update(ended(now=15.0))
    assert limit.value == 35


def test_the_plain_gate_of_the_peers_hears_nothing():
    health = Deaf()
    for item in range(10):
        health.on_outcome(ServiceSignal.UNREACHABLE, item, 0.0, 0.0, 60.0)
    assert health.allows(0.0)
    assert not health.is_down
    assert health.next_open_at is None
    assert FixedLimit(3).value == PEERS["fixed 1"]().value + 2


# Tables -------------------------------------------------------------------------------------------


def ran(controller: str, makespan: float, name: str = "one", **more) -> Run:
    numbers = {"finished": 100, "wasted": 0, "bound": 90.0, **more}
    return Run(
        name, 1, controller, 100, makespan, fates={}, most_waiting=0, would_fail=0, **numbers
    )


def test_goals_are_held_against_what_was_reached():
    good = [ran(ORACLE, 100), ran(OURS, 102, wasted=1), ran("aimd", 104)]
    assert all(goal.reached for goal in tables.goals(tables.scores(good)))
    slow = [ran(ORACLE, 100), ran(OURS, 120, wasted=2), ran("aimd", 104)]
    assert [goal.reached for goal in tables.goals(tables.scores(slow))] == [False] * 5 + [True]
    wrong = [ran(ORACLE, 100), ran(OURS, 95)]
    assert not tables.goals(tables.scores(wrong))[-1].reached


def test_a_run_that_was_cut_off_counts_as_little():
    found = tables.scores([ran(ORACLE, 100), ran("fixed 1", 1000, finished=60)])
    assert found["fixed 1"][0].efficiency == 0.1
    assert "<0.10" in tables.text_of_scores(found)


def test_stragglers_are_held_against_the_bound():
    runs = [ran(OURS, 94, wasted=2), ran(NO_HEDGE, 120)]
    assert [goal.reached for goal in tables.goals_of_stragglers(runs)] == [True, True]
    runs = [ran(OURS, 95, wasted=3)]
    assert [goal.reached for goal in tables.goals_of_stragglers(runs)] == [False, False]


def test_the_command_prints_the_table_and_writes_what_it_found(tmp_path):
    file = tmp_path / "runs.json"
    command = [sys.executable, "-m", "benchmarks.flow", "--only", "small"]
    flags = ["--controller", "fixed 8,aibrix", "--trace", "-", "--every", "60", "--json", str(file)]
    done = subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = json.loads(file.read_text())
    assert [run["controller"] for run in runs] == [ORACLE, "fixed 8", "aibrix"]
    assert "geometric mean" in done.stdout
    assert "small, 1 container #1, aibrix: " in done.stdout
