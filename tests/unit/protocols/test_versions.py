"""What a service runs, and what is peculiar to it, told by its own words."""

import pytest

from batchinfer.protocols.ai4os.deepaas_versions import find_deepaas_version, list_quirks
from support.paths import FIXTURES


def log(deepaas: str, python: str = "3.12.8") -> str:
    return f"[*] Using DEEPaaS version {deepaas}\n[*] Using Python version Python {python}\nx\n"


@pytest.mark.parametrize("version", ["2.5.1", "2.5.2", "2.6.0"])
def test_real_bodies_tell_their_version(version):
    bodies = [*FIXTURES.glob(f"sync_{version}_ok_*.body")]

    assert bodies
    told = {find_deepaas_version(body.read_text(errors="replace")) for body in bodies}
    assert told - {None} == {version}


@pytest.mark.parametrize(
    ("deepaas", "word"),
    [
        ("2.4.9", "refuses"),
        ("2.5.0", "without a mark"),
        ("2.5.1", "without a mark"),
        ("2.5.2", None),
        ("2.6.0", "tmp-file-"),
        ("2.6.1", "newer"),
        ("3", "newer"),
        (f"2.{'9' * 5000}", "newer"),
    ],
)
def test_a_version_has_its_quirks(deepaas, word):
    quirks = list_quirks(log(deepaas))

    assert len(quirks) == (word is not None)
    assert word is None or word in quirks[0]


@pytest.mark.parametrize(
    ("python", "refuses"),
    [
        ("3.6.9", True),
        ("3.11.7", True),
        ("3.12.7", True),
        ("3.12.8", False),
        ("3.13.0", True),
        ("3.13.1", False),
        ("3.14.0", False),
    ],
)
def test_an_older_python_refuses_short_names(python, refuses):
    assert (len(list_quirks(log("2.5.2", python))) == 1) is refuses


def test_no_version_no_quirk():
    assert find_deepaas_version("Using DEEPaaS version 2.6.0") is None
    assert list_quirks("") == []
