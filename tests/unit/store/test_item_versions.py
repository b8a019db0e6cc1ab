"""Which of two versions of one item a merge takes."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.store.item_versions import ItemVersion, VersionChoice, choose_version


def version(state="pending", attempts=0, spared=0, *, path="/data/a", result=None, sent=None, **p):
    files = json.dumps([{"param": "files", "path": path, "size": 1, "mtime_ns": 1}]).encode()
    params = json.dumps(p).encode()
    made = None if result is None else (b"application/json", result)
    return ItemVersion(state.encode(), attempts, spared, files, params, made, sent)


PENDING = version()
TRIED = version(attempts=2)
FAILED = version("failed", 2)
PUT_BACK = version("pending", 2, 2)
SUCCEEDED = version("succeeded", 3, result=b"yes")
EQUAL, FURTHER = VersionChoice.EQUAL, VersionChoice.FURTHER


@pytest.mark.parametrize(
    ("first", "second", "choice"),
    [
        (PENDING, PENDING, EQUAL),
        (PENDING, TRIED, FURTHER),
        (TRIED, PENDING, EQUAL),
        (TRIED, FAILED, FURTHER),
        (FAILED, TRIED, EQUAL),
        (FAILED, PUT_BACK, FURTHER),  # `retry` came after the failure
        (PUT_BACK, FAILED, EQUAL),  # and is not undone by the run as it was before
        (FAILED, SUCCEEDED, FURTHER),
        (SUCCEEDED, FAILED, EQUAL),
        (SUCCEEDED, version("failed", 9), EQUAL),  # a result is never replaced by none
        (version("failed", 9), SUCCEEDED, FURTHER),
        (SUCCEEDED, SUCCEEDED, EQUAL),
        (SUCCEEDED, replace(SUCCEEDED, attempts=1), EQUAL),
        (SUCCEEDED, version("succeeded", 3, result=b"no"), VersionChoice.OTHER_RESULT),
        (SUCCEEDED, version("succeeded", 3, result=b"yes", size=2), VersionChoice.OTHER_INPUTS),
        (PENDING, version(path="/elsewhere/a"), VersionChoice.OTHER_INPUTS),
        (PENDING, version(size=2), VersionChoice.OTHER_INPUTS),
    ],
)
def test_what_has_come_further_is_taken(first, second, choice):
    assert choose_version(first, second) is choice


def test_what_was_sent_tells_more_than_where_it_was():
    here = version("succeeded", 1, result=b"yes", sent=b"files:1:aa")
    there = version("succeeded", 1, result=b"yes", sent=b"files:1:aa", path="/elsewhere/a")
    changed = replace(here, sent=b"files:1:bb")
    assert choose_version(here, there) is EQUAL
    assert choose_version(here, changed) is VersionChoice.OTHER_INPUTS


def test_the_order_of_parameters_does_not_matter():
    assert choose_version(version(a=1, b=2), version(b=2, a=1)) is EQUAL
    assert choose_version(version(a=1), version(a=1.5)) is VersionChoice.OTHER_INPUTS


def test_a_file_that_was_repaired_is_the_same_input():
    repaired = replace(SUCCEEDED, files=SUCCEEDED.files.replace(b'"size": 1', b'"size": 9'))
    assert choose_version(FAILED, repaired) is FURTHER


versions = st.builds(
    version,
    st.sampled_from(["pending", "failed"]),
    st.integers(0, 3),
    st.integers(0, 3),
    result=st.none() | st.sampled_from([b"yes", b"no"]),
)


@given(versions, versions)
def test_no_two_versions_take_each_others_place(first, second):
    both = {choose_version(first, second), choose_version(second, first)}
    assert both != {FURTHER}
    assert (VersionChoice.OTHER_RESULT in both) == (
        first.result is not None and second.result is not None and first.result != second.result
    )


@given(versions)
def test_a_version_is_equal_to_itself(one):
    assert choose_version(one, one) is EQUAL
