"""The retry budget: retries that help are free, those that only add load stop."""

from hypothesis import given
from hypothesis import strategies as st

from batchinfer.flow.retries import RETRY_TOKENS, TOKENS_PER_ANSWER, RetryBudget


def test_retries_that_are_answered_are_free():
    budget = RetryBudget()
    for _ in range(10_000):
        assert budget.try_spend()
        budget.on_answer(paid=True)
    assert budget.tokens == RETRY_TOKENS


def test_retries_that_are_not_dry_up():
    budget = RetryBudget()
    assert sum(budget.try_spend() for _ in range(10_000)) == RETRY_TOKENS


def test_answers_pay_for_a_tenth_as_many():
    budget = RetryBudget(1)
    spent = 0
    for _ in range(1_000):
        budget.on_answer(paid=False)
        spent += budget.try_spend()
    assert 0.9 * 1_000 * TOKENS_PER_ANSWER <= spent <= 1_000 * TOKENS_PER_ANSWER + 1


@given(st.lists(st.sampled_from(["spend", "paid", "first"])))
def test_it_stays_within_its_bounds(steps):
    budget, useless, answers = RetryBudget(), 0, 0
    for step in steps:
        if step == "spend":
            useless += budget.try_spend()
        else:
            answers += 1
            budget.on_answer(paid=step == "paid")
        assert 0 <= budget.tokens <= RETRY_TOKENS
    assert useless <= RETRY_TOKENS + answers
