"""Object names: what the service script's habits and the listing's order ask of them."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.protocols.ai4os.object_names import (
    INPUTS_PREFIX,
    MAX_POSITION,
    OUTPUTS_PREFIX,
    make_object_name,
    make_start_after,
    parse_input_key,
    parse_object_name,
    parse_output_key,
)
from batchinfer.protocols.object_ids import (
    ObjectName,
    OutputKey,
    make_digest,
    new_epoch,
    new_run_id,
)

RUN = "k3x9a1b2c4"
positions = st.integers(1, MAX_POSITION)
attempts = st.integers(1, 999)
tags = st.builds(
    lambda seed, payload: new_epoch(seed) + make_digest(sha256(payload).hexdigest()),
    st.binary(min_size=6, max_size=8),
    st.binary(),
) | st.just("")


@given(st.binary(min_size=8, max_size=16))
def test_a_run_id_is_ten_letters_and_digits_and_begins_with_a_letter(seed):
    assert re.fullmatch(r"[a-z][a-z0-9]{9}", new_run_id(seed))


def test_run_ids_of_different_bytes_differ():
    seeds = [number.to_bytes(8) for number in range(5000)]
    assert len(set(map(new_run_id, seeds))) == 5000


def test_too_few_random_bytes_are_refused():
    with pytest.raises(ValueError, match="8 random bytes, not 7"):
        new_run_id(b"1234567")


@given(st.binary(min_size=8, max_size=8), positions, attempts, tags)
def test_a_name_survives_the_service_script(seed, position, attempt, tag):
    name = make_object_name(new_run_id(seed), position, attempt, tag)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
    assert "event-file" not in name
    assert not name.startswith("tmp-file-")
    assert parse_object_name(new_run_id(seed), name) == ObjectName(position, attempt, tag)


@given(st.tuples(positions, attempts, tags), st.tuples(positions, attempts, tags))
def test_key_order_is_position_order(one, other):
    first, second = make_object_name(RUN, *one), make_object_name(RUN, *other)
    if one[0] != other[0]:
        assert (f"{first}.json" < f"{second}.log") == (one[0] < other[0])


@given(positions, attempts, tags, st.sampled_from(["json", "log"]))
def test_an_output_is_read_back(position, attempt, tag, extension):
    base = make_object_name(RUN, position, attempt, tag)
    found = parse_output_key(RUN, f"{OUTPUTS_PREFIX}{base}.{extension}")
    assert found == OutputKey(base, ObjectName(position, attempt, tag), extension)
    assert parse_input_key(RUN, f"{INPUTS_PREFIX}{base}.json") == (base, found.parsed_name)
    assert parse_input_key(RUN, f"{INPUTS_PREFIX}{base}.log") is None


def test_the_digest_tells_payloads_apart_and_the_epoch_processes():
    digests = [make_digest(sha256(payload).hexdigest()) for payload in (b"1", b"2")]
    first, second = (make_object_name(RUN, 1, 1, "aaaaaaaa" + digest) for digest in digests)
    assert first != second
    assert parse_object_name(RUN, first).digest == digests[0]
    assert parse_object_name(RUN, make_object_name(RUN, 1, 1)).digest is None
    assert len({new_epoch(number.to_bytes(6)) for number in range(5000)}) == 5000


@pytest.mark.parametrize(
    "tag", ["a", "aaaaaaaa0123456789abcdeF", "aaaaaaaa-0123456789abcdef", "x" * 24]
)
def test_a_tag_that_is_none_is_refused(tag):
    with pytest.raises(ValueError, match="no epoch and digest"):
        make_object_name(RUN, 1, 1, tag)
    assert parse_object_name(RUN, f"{make_object_name(RUN, 1, 1)}-{tag}") is None


@pytest.mark.parametrize(
    "key",
    [
        OUTPUTS_PREFIX,
        INPUTS_PREFIX,
        f"{OUTPUTS_PREFIX}{RUN}",
        f"{INPUTS_PREFIX}{RUN}-000000001-1.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-1",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-1.png",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-1.json.log",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-1.JSON",
        f"{OUTPUTS_PREFIX}{RUN}-1-1.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000000-1.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-0.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-01.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000001--1.json",
        f"{OUTPUTS_PREFIX}{RUN}-000000001-1-1.json",
        f"{OUTPUTS_PREFIX}{RUN}-\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661-1.json",
        f"{OUTPUTS_PREFIX}another-000000001-1.json",
        f"{OUTPUTS_PREFIX}{RUN}x-000000001-1.json",
        f"{OUTPUTS_PREFIX}sub/{RUN}-000000001-1.json",
        f"{OUTPUTS_PREFIX}tmp-file-abcde.json",
        f"other/{RUN}-000000001-1.json",
        f"{RUN}-000000001-1.json",
        "",
    ],
)
def test_a_key_that_is_no_output_of_this_run_is_none(key):
    assert parse_output_key(RUN, key) is None


@given(st.text())
def test_no_key_breaks_the_parser(key):
    assert parse_output_key(RUN, OUTPUTS_PREFIX + key) is None or key.startswith(RUN)


@given(st.integers(2, MAX_POSITION), attempts)
def test_a_listing_starts_right_before_the_first_output_of_a_position(position, attempt):
    after = make_start_after(RUN, position)
    assert after < f"{OUTPUTS_PREFIX}{make_object_name(RUN, position, attempt)}.json"
    assert after > f"{OUTPUTS_PREFIX}{make_object_name(RUN, position - 1, attempt)}.log"


@pytest.mark.parametrize(
    ("run_id", "position", "attempt"),
    [(RUN, 0, 1), (RUN, MAX_POSITION + 1, 1), (RUN, 1, 0), ("a-b", 1, 1), ("A", 1, 1), ("", 1, 1)],
)
def test_a_name_that_would_not_survive_is_refused(run_id, position, attempt):
    with pytest.raises(ValueError, match=r"run id|no object"):
        make_object_name(run_id, position, attempt)
