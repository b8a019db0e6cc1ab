"""Which answers are studied, and when a window has enough of them."""

from batchinfer.flow import AttemptSample, ServiceSignal
from batchinfer.flow.sample_window import (
    MAX_STUDIED_PER_SECOND,
    MIN_STUDIED_ANSWERS,
    STUDIED_IN_A_ROW,
    AnswerSelection,
    SampleWindow,
)


def answer(signal=ServiceSignal.ANSWERED):
    return AttemptSample(signal, 0.0, 1.0, 8, 8)


def select(selection, rate, begin, end):
    """Which of so many answers per second are studied, from `begin` to `end`."""
    count = round((end - begin) * rate)
    return [selection.selects(begin + number / rate) for number in range(count)]


def test_every_answer_is_studied_while_they_come_slowly():
    assert all(select(AnswerSelection(), MAX_STUDIED_PER_SECOND, 0, 20))


def test_waves_are_studied_whole():
    selection = AnswerSelection()
    assert all(selection.selects(wave * 5.0) for wave in range(20) for _ in range(1000))


def test_of_many_answers_some_are_studied_in_rows():
    selection = AnswerSelection()
    select(selection, 10 * MAX_STUDIED_PER_SECOND, 0, 2)
    studied = select(selection, 10 * MAX_STUDIED_PER_SECOND, 2, 22)
    assert 0.95 < sum(studied) / (20 * MAX_STUDIED_PER_SECOND) < 1.05
    text = "".join("x" if one else "." for one in studied)
    assert "x" * STUDIED_IN_A_ROW + "." * 9 * STUDIED_IN_A_ROW + "x" in text
    assert ".x." not in text


def test_all_are_studied_again_soon_after_they_have_become_few():
    selection = AnswerSelection()
    select(selection, 20 * MAX_STUDIED_PER_SECOND, 0, 5)
    assert all(select(selection, 2, 5, 60)[4:])


def test_a_window_needs_as_many_answers_as_are_served():
    window = SampleWindow(0.0, 30)
    window.add(answer(ServiceSignal.ERROR))
    for count in range(1, 60):
        window.add(one := answer())
        window.answers.append(one)
        assert window.has_enough_answers == (count >= 30)
    assert (window.answer_count, window.sample_count) == (59, 60)
    assert window.answer_rate(2.0) == 29.5


def test_of_a_long_window_enough_answers_must_have_been_studied():
    window = SampleWindow(0.0, 300)
    for count in range(1, 1000):
        window.add(one := answer())
        if count % 5 == 0:
            window.answers.append(one)
        assert window.has_enough_answers == (count >= 5 * MIN_STUDIED_ANSWERS)
