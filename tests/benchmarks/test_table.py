import pytest

from benchmarks import table
from benchmarks.measuring import Sample
from benchmarks.table import Goal, Kind, Measure, Section


def samples(*seconds: float, items: int = 100, peak: float = 50.0, load: float | None = None):
    return [Sample(items, each, each / 2, peak + each, service_load=load) for each in seconds]


def row(name: str, *seconds: float, **more):
    return table.make_row(name, samples(*seconds, **more), Measure.RATE, 0)


def test_a_row_has_medians_and_the_highest_peak():
    made = row("ours", 1.0, 2.0, 10.0, load=0.5)
    assert made.values[Measure.RATE] == 50
    assert made.values[Measure.SECONDS] == 2
    assert made.values[Measure.CPU] == 10_000
    assert made.values[Measure.MEMORY] == 60
    assert (made.slowest, made.fastest, made.service_load) == (10, 100, 0.5)


def test_megabytes_go_by_the_size_of_an_item():
    made = table.make_row("ours", samples(2.0), Measure.MEGABYTES, 1_000_000)
    assert made.values[Measure.MEGABYTES] == 50


@pytest.mark.parametrize(
    ("goal", "measured", "reached"),
    [
        (Goal(Measure.RATE, 2.0, ("slow",)), 2.0, True),
        (Goal(Measure.RATE, 2.1, ("slow",)), 2.0, False),
        (Goal(Measure.RATE, 0.5, ("slow", "fast")), 0.5, True),  # the best of both
        (Goal(Measure.RATE, 0.5, ("slow", "missing")), 2.0, True),  # the best of what is there
        (Goal(Measure.SECONDS, 1.9, ("fast",), at_most=True), 2.0, False),
        (Goal(Measure.SECONDS, 1.9, ("slow", "fast"), at_most=True), 2.0, False),
        (Goal(Measure.CPU, 0.5, ("slow",), at_most=True), 0.5, True),
        (Goal(Measure.SECONDS, 1.0, ("fast",), Kind.DIFFERENCE, at_most=True), 1.0, True),
        (Goal(Measure.SECONDS, 0.9, ("fast",), Kind.DIFFERENCE, at_most=True), 1.0, False),
        (Goal(Measure.MEMORY, 51, (), Kind.ABSOLUTE, at_most=True), 52, False),
        (Goal(Measure.MEMORY, 52, (), Kind.ABSOLUTE, at_most=True), 52, True),
        (Goal(Measure.MEMORY, 52, (), Kind.ABSOLUTE, at_most=True, of="slow"), 54, False),
        (Goal(Measure.RATE, 1.0, ("missing",)), None, False),
        (Goal(Measure.RATE, 1.0, ("slow",), of="missing"), None, False),
    ],
)
def test_ours_is_set_against_the_goal(goal, measured, reached):
    rows = [row("slow", 4.0), row("ours", 2.0), row("fast", 1.0)]
    verdict = table.judge(goal, rows, "ours")
    assert verdict.measured == (None if measured is None else pytest.approx(measured))
    assert verdict.reached is reached
    word = "not measured" if measured is None else "reached" if reached else "MISSED"
    assert verdict.word == word


def test_nothing_is_compared_with_a_peer_when_ours_failed():
    rows = [row("slow", 4.0), row("fast", 1.0)]
    assert table.judge(Goal(Measure.RATE, 0.1, ("slow",)), rows, "ours").measured is None


@pytest.fixture
def section():
    goals = [
        Goal(Measure.RATE, 1.0, ("theirs",)),
        Goal(Measure.MEMORY, 10, (), Kind.ABSOLUTE, at_most=True),
    ]
    ours, theirs = row("ours", 2.0, load=0.4), row("theirs", 4.0, load=0.99)
    rows = [ours, theirs]
    verdicts = [table.judge(goal, rows, "ours") for goal in goals]
    notes = ["other: skipped, other is not installed"]
    return Section("a row", Measure.RATE, "ours", rows, verdicts, notes)


def test_the_table_says_all_of_it(section):
    text = table.format_section(section)
    ours, theirs = text.splitlines()[2:4]
    assert ours.split() == ["ours", "100", "50", "(50-50)", "10,000", "52", "40%"]
    assert theirs.split()[6:11] == ["99%", "2.00", "x", "0.50", "x"]
    assert theirs.endswith("bound by the service")
    assert "  other: skipped, other is not installed\n" in text
    assert "goal: >= 1 x items/s of theirs: 2.00 x, reached" in text
    assert "goal: <= 10 MB: 52, MISSED" in text


def test_the_summary_names_what_was_missed(section):
    assert table.summarize([section]) == "1 of 2 goals reached\n  a row: <= 10 MB: 52, MISSED"


def test_the_table_can_be_pasted_as_markdown(section):
    lines = table.format_markdown([section]).splitlines()
    assert "| a row | >= 1 x items/s of theirs | 2.00 x | reached |" in lines
    assert "| a row | <= 10 MB | 52 | **MISSED** |" in lines
    assert "| a row | theirs | 100 | 25 items/s | 20,000 | 54 | bound by the service |" in lines
    for number, line in enumerate(lines):
        if line.startswith("|---"):
            assert lines[number - 1].count("|") == line.count("|")
