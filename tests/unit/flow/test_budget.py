"""The budget of retries: what helps is free, what only adds load dries up."""

from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow.budget import EARNED, FULL, Budget


def test_retries_that_are_answered_are_free():
    budget = Budget()
    for _ in range(10_000):
        assert budget.spend()
        budget.answered(paid=True)
    assert budget.tokens == FULL


def test_retries_that_are_not_dry_up():
    budget = Budget()
    assert sum(budget.spend() for _ in range(10_000)) == FULL


def test_answers_pay_for_a_tenth_as_many():
    budget = Budget(1)
    spent = 0
    for _ in range(1_000):
        budget.answered(paid=False)
        spent += budget.spend()
    assert 0.9 * 1_000 * EARNED <= spent <= 1_000 * EARNED + 1


@given(st.lists(st.sampled_from(["spend", "paid", "first"])))
def test_it_stays_within_its_bounds(steps):
    budget, useless, answers = Budget(), 0, 0
    for step in steps:
        if step == "spend":
            useless += budget.spend()
        else:
            answers += 1
            budget.answered(paid=step == "paid")
        assert 0 <= budget.tokens <= FULL
    assert useless <= FULL + answers
