"""Counting the calls being served: exact where there is an order, else never too many."""

import heapq
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.flow import AttemptSample, ServiceSignal
from batchinfer.flow.queue_estimators import QueuePositions, ServerCountEstimator


def play(containers: int, seed: int, *, calls: int = 300, in_order: bool = True):
    """The answers of containers with one queue; of each, how many were being served at its turn."""
    chance, now, joins = Random(seed), 0.0, 0.0
    queue: list[tuple[float, int]] = []
    busy: list[tuple[float, float, float, int, int]] = []
    answers: list[tuple[AttemptSample, int]] = []
    while len(answers) < calls:
        if not busy or joins < busy[0][0]:
            now = joins
            queue.append((now, len(queue) + len(busy) + 1))
            # Faster than they are served, until many wait.
            joins = now + chance.uniform(0.2, 1.2) / containers * (3 if len(queue) < 40 else 9)
        else:
            now, turn, joined_at, joined, served = heapq.heappop(busy)
            told, took = now - turn, now - joined_at
            inside = len(queue) + len(busy) + 1
            answer = AttemptSample(
                ServiceSignal.ANSWERED, now, took, inside, joined, server_seconds=told
            )
            answers.append((answer, served))
        while queue and len(busy) < containers:
            joined_at, joined = queue.pop(0 if in_order else chance.randrange(len(queue)))
            ends = now + chance.uniform(2.0, 5.0)
            heapq.heappush(busy, (ends, now, joined_at, joined, len(busy) + 1))
    return answers


@given(st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_one_answer_tells_exactly_how_many_were_served(containers, seed):
    positions, told = QueuePositions(), 0
    for answer, served in play(containers, seed):
        positions.add(answer)
        turn = answer.ended_at - (answer.server_seconds or 0.0)
        counted = positions.count_servers(answer, turn, 1e-6)
        if counted is not None:
            told += 1
            assert counted == served
    assert told > 200


@given(st.integers(1, 60), st.integers(0, 1000), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_those_answered_together_are_never_more_than_were_served(containers, seed, in_order):
    positions, most = QueuePositions(), 0
    for answer, served in play(containers, seed, in_order=in_order):
        positions.add(answer)
        turn = answer.ended_at - (answer.server_seconds or 0.0)
        together = positions.count_concurrent(turn, 1e-6)
        assert together <= served
        most = max(most, together)
    assert most >= 0.6 * containers


@given(st.integers(4, 60), st.integers(0, 1000))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_round_is_counted_where_there_is_an_order(containers, seed):
    estimator, answers = ServerCountEstimator(), [answer for answer, _ in play(containers, seed)]
    for answer in answers:
        estimator.add(answer)
    last = [(one, one.seconds - (one.server_seconds or 0.0)) for one in answers[-40:]]
    assert estimator.estimate(last, 1e-6) == containers


def test_calls_sent_at_once_have_no_order():
    estimator = ServerCountEstimator()
    estimator.on_limit_raised(10.0)
    assert estimator.is_in_burst(
        AttemptSample(ServiceSignal.ANSWERED, 15.0, 4.9, 8, 8, server_seconds=3.0)
    )
    assert not estimator.is_in_burst(
        AttemptSample(ServiceSignal.ANSWERED, 15.0, 5.1, 8, 8, server_seconds=3.0)
    )
    assert not estimator.is_in_burst(
        AttemptSample(ServiceSignal.ANSWERED, 15.0, 4.0, 8, 8, server_seconds=3.0)
    )
