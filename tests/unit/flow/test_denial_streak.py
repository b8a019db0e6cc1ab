"""When denials are no item's fault."""

from batchinfer.flow import DenialStreak


def test_three_of_different_items_suffice_while_nobody_was_answered():
    streak = DenialStreak()
    assert [streak.on_denial(item, began=item) for item in (1, 2, 3)] == [False, False, True]


def test_the_same_item_again_says_nothing_new():
    streak = DenialStreak()
    assert not any(streak.on_denial(1, began=time) for time in range(50))


def test_after_an_answer_it_takes_five_in_a_row():
    streak = DenialStreak()
    streak.on_answer(began=0)
    assert [streak.on_denial(item, began=item) for item in range(1, 6)] == [False] * 4 + [True]


def test_an_answer_to_a_later_call_ends_the_row():
    streak = DenialStreak()
    for round_ in range(10):
        assert not streak.on_denial(round_, began=round_)
        assert streak.on_answer(began=round_ + 0.5)
    assert streak.since is None


def test_an_answer_to_an_earlier_call_does_not():
    streak = DenialStreak()
    streak.on_denial(1, began=10)
    assert not streak.on_answer(began=9)
    assert streak.since == 10
