"""When refusals are no item's fault."""

from batchinfer.flow import Circuit


def test_three_of_different_items_suffice_while_nobody_was_answered():
    circuit = Circuit()
    assert [circuit.refused(item, began=item) for item in (1, 2, 3)] == [False, False, True]


def test_the_same_item_again_says_nothing_new():
    circuit = Circuit()
    assert not any(circuit.refused(1, began=time) for time in range(50))


def test_after_an_answer_it_takes_five_in_a_row():
    circuit = Circuit()
    circuit.answered(began=0)
    assert [circuit.refused(item, began=item) for item in range(1, 6)] == [False] * 4 + [True]


def test_an_answer_to_a_later_call_ends_the_row():
    circuit = Circuit()
    for round_ in range(10):
        assert not circuit.refused(round_, began=round_)
        assert circuit.answered(began=round_ + 0.5)
    assert circuit.since is None


def test_an_answer_to_an_earlier_call_does_not():
    circuit = Circuit()
    circuit.refused(1, began=10)
    assert not circuit.answered(began=9)
    assert circuit.since == 10
