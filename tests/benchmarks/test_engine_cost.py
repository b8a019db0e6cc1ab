"""The benchmark of engine and flow control alone runs, and every item comes back."""

import re

from benchmarks.flow import cost


def test_it_prints_a_row_for_each_number_in_flight(capsys):
    cost.main(["--items", "300", "--rounds", "1", "--in-flight", "8", "40"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["in", "flight", *cost.KINDS]
    assert [int(line.split()[0]) for line in printed[2:]] == [8, 40]
    assert all(re.fullmatch(r"\d+\.\d", cell) for line in printed[2:] for cell in line.split()[1:])
