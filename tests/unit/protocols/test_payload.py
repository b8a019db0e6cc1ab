"""The payload: what is sent arrives as it was meant, and what would not arrive is not sent."""

import ast
import base64
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import Failure, FailureKind, Mode
from batchinfer.protocols.ai4os.payload import (
    AMBIGUOUS_PARAM_NAMES,
    EVENT_KEYS,
    MAX_PARAM_BYTES,
    MAX_PARAM_DEPTH,
    FileContent,
    build_payload,
    detect_file_format,
    encode_params,
    format_preview,
)

names = st.from_regex(r"[a-z_][a-z0-9_]{3,10}", fullmatch=True).filter(
    lambda name: name not in AMBIGUOUS_PARAM_NAMES | EVENT_KEYS | {"help"}
)
scalars = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
)
literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip
files = st.lists(
    st.builds(FileContent, names, st.sampled_from(["jpg", "bin", "wav"]), st.binary(max_size=200)),
    max_size=4,
)


def sent(value, mode=Mode.ASYNC):
    """What one parameter becomes, or the failure."""
    outcome = encode_params({"param": value}, [], mode)
    return outcome if isinstance(outcome, Failure) else outcome["param"]


def on_the_command_line(value):
    """What the service script makes of a value that came as JSON."""
    value = json.loads(json.dumps(value))
    return str(value) if isinstance(value, (int, float)) else value


@pytest.mark.slow
@given(st.dictionaries(names, scalars, max_size=5), files)
def test_the_body_is_json_and_gives_everything_back(params, contents):
    params = {
        name: value
        for name, value in params.items()
        if not isinstance(value, int) or abs(value) < 2**63
    }
    payload = json.loads(build_payload(params, contents))
    entries = payload.pop("oscar-files", [])
    assert payload == params
    assert [
        FileContent(entry["key"], entry["file_format"], base64.b64decode(entry["data"]))
        for entry in entries
    ] == contents


def test_base64_is_standard_padded_and_without_newlines():
    data = bytes(range(256)) * 10
    (entry,) = json.loads(build_payload({}, [FileContent("files", "bin", data)]))["oscar-files"]
    assert entry["data"] == base64.b64encode(data).decode()
    assert {"+", "/"} <= set(entry["data"])


def test_an_empty_payload_is_an_empty_object():
    assert build_payload({}, []) == b"{}"


@given(scalars)
def test_whatever_scalar_is_sent_arrives_with_its_value(value):
    spelled = sent(value)
    if isinstance(spelled, Failure):
        assert isinstance(value, str)
        assert value.startswith("-")
        return
    arrived = on_the_command_line(spelled)
    assert not arrived.startswith("-") or re.fullmatch(r"-\d+|-\d*\.\d+", arrived)
    match value:
        case bool():
            assert (arrived.lower() in {"yes", "true", "t", "1"}) == value
        case int():
            assert int(arrived) == value
        case float():
            assert float(arrived) == value
        case str():
            assert arrived == value


@pytest.mark.slow
@given(st.lists(literals, max_size=4) | st.dictionaries(st.text(), literals, max_size=4))
def test_lists_and_dicts_arrive_as_python_literals(value):
    spelled = sent(value)
    assert isinstance(spelled, str)
    assert ast.literal_eval(spelled) == value


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (True, True),
        (0, 0),
        (-7, -7),
        (0.25, 0.25),
        (-0.25, -0.25),
        (1e-05, 1e-05),
        (-1e-05, "-0.00001"),
        (-1e16, "-10000000000000000"),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        ("", ""),
        ("-5", "-5"),
        ("-.5", "-.5"),
        ("a b", "a b"),
        ([1, None, True, "x"], "[1, None, True, 'x']"),
        ((1, (2,)), "[1, [2]]"),
        ({"a": [1.5], 2: None}, "{'a': [1.5], 2: None}"),
        ([], "[]"),
        ({}, "{}"),
        ("x" * (MAX_PARAM_BYTES - 1), "x" * (MAX_PARAM_BYTES - 1)),
    ],
)
def test_the_spelling_of(value, spelled):
    assert sent(value) == spelled
    assert type(sent(value)) is type(spelled)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "null"),
        (math.nan, "no JSON number"),
        (math.inf, "no JSON number"),
        ([math.nan], "Python literal"),
        ("-x", "starts with '-'"),
        ("-", "starts with '-'"),
        ("--help", "starts with '-'"),
        ("-1e-05", "starts with '-'"),
        ("x" * MAX_PARAM_BYTES, "131,072"),
        ("é" * (MAX_PARAM_BYTES // 2), "131,072"),
        (["x" * MAX_PARAM_BYTES], "131,076"),
        ("a\0b", "NUL"),
        ("\ud800", "Unicode"),
        (10**2000, "too long"),
        (b"bytes", "bytes"),
        ({1, 2}, "set"),
        ([object()], "object"),
    ],
)
def test_a_value_that_cannot_arrive_is_refused(value, reason):
    refused = sent(value)
    assert isinstance(refused, Failure)
    assert (refused.code, refused.kind) == ("bad_param", FailureKind.PERMANENT)
    assert "'param'" in refused.message
    assert reason in refused.message


@pytest.mark.parametrize("levels", [MAX_PARAM_DEPTH + 1, 254, 600, 100_000])
@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_a_value_nested_too_deeply_is_refused(levels, wrap):
    value = 1
    for _ in range(levels):
        value = wrap(value)
    refused = sent(value)
    assert isinstance(refused, Failure)
    assert "nested too deeply" in refused.message


def test_a_value_nested_as_deeply_as_is_allowed_is_sent():
    value = 1
    for _ in range(MAX_PARAM_DEPTH):
        value = [value]
    assert sent(value) == "[" * MAX_PARAM_DEPTH + "1" + "]" * MAX_PARAM_DEPTH


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "DEEPaaS takes this name") for name in sorted(AMBIGUOUS_PARAM_NAMES)),
        ("oscar-files", "keeps this name"),
        ("help", "help"),
        ("my-param", "no name"),
        ("", "no name"),
        ("a b", "no name"),
        ("1st", "no name"),
    ],
)
def test_a_name_that_cannot_be_sent_is_refused(name, reason):
    for refused in (
        encode_params({name: 1}, [], Mode.ASYNC),
        encode_params({}, [name], Mode.ASYNC),
    ):
        assert isinstance(refused, Failure)
        assert refused.code == "bad_param"
        assert repr(name) in refused.message
        assert reason in refused.message


@pytest.mark.parametrize("name", sorted(EVENT_KEYS))
def test_a_name_of_an_event_cannot_be_sent_in_sync_mode_only(name):
    refused = encode_params({name: 1}, [], Mode.SYNC)
    assert isinstance(refused, Failure)
    assert "async" in refused.message
    assert encode_params({name: 1}, [], Mode.ASYNC) == {name: 1}
    assert encode_params({}, [name], Mode.SYNC) == {}


@pytest.mark.parametrize(
    ("params", "files", "reason"),
    [
        ({}, ["files", "mask", "files"], "two files"),
        ({"files": "x"}, ["files"], "both"),
    ],
)
def test_a_parameter_takes_one_value(params, files, reason):
    refused = encode_params(params, files, Mode.SYNC)
    assert isinstance(refused, Failure)
    assert "'files'" in refused.message
    assert reason in refused.message


@pytest.mark.parametrize(
    ("path", "head", "form"),
    [
        ("a/b.jpg", b"", "jpg"),
        ("a/b.JPEG", b"", "jpeg"),
        ("b.tar.gz", b"", "tar.gz"),
        ("brain.NII.GZ", b"\x1f\x8b", "nii.gz"),
        ("a/sub-01.T1w.nii.gz", b"", "nii.gz"),
        *(
            (f"b.{each}", b"", each)
            for each in ("gii.gz", "tar.bz2", "tar.xz", "tar.zst", "csv.gz")
        ),
        *((f"b.{each}", b"", each) for each in ("fastq.gz", "h5.gz", "ome.tif", "ome.tiff")),
        *((f"b.{each}", b"", each) for each in ("dscalar.nii", "surf.gii", "copc.laz")),
        ("photo.2024.jpg", b"", "jpg"),
        ("v1.2.png", b"", "png"),
        ("scan.2024.gz", b"", "gz"),
        ("model.v2.gz", b"", "gz"),
        ("my.holiday.tif", b"", "tif"),
        ("dir.tar/b.gz", b"", "gz"),
        ("nii.gz", b"", "gz"),
        (".nii.gz", b"", "gz"),
        ("b.a very long one.gz", b"", "gz"),
        ("b..gz", b"", "gz"),
        ("b.jpg", b"\x89PNG\r\n\x1a\n", "jpg"),
        ("dir.d/b", b"\x89PNG\r\n\x1a\n", "png"),
        (".jpg", b"RIFF....WAVE", "wav"),
        ("b.", b"PK\x03\x04", "zip"),
        ("b.jpg~", b"\xff\xd8\xff", "jpg"),
        ("scan.001", b"II*\x00", "tif"),
        ("scan.001", b"", "001"),
        ("b.\udcff", b"", "bin"),
        ("b.é", b"", "bin"),
        ("b.$(x)", b"", "bin"),
        ("b." + "x" * 40, b"", "bin"),
        ("noname", b' {"a": 1}', "json"),
        ("noname", b"[1, 2", "json"),
        ("noname", b"[section]", "bin"),
        ("noname", b"", "bin"),
    ],
)
def test_the_file_format(path, head, form):
    assert detect_file_format(path, head) == form


@given(st.text(), st.binary(max_size=600))
def test_a_file_format_is_never_empty_and_always_plain(path, head):
    assert re.fullmatch(r"[a-z0-9]{1,16}(\.[a-z0-9]{1,16})?", detect_file_format(path, head))


def test_a_preview_shows_everything_but_the_data():
    shown = format_preview({"imgsz": 640, "note": "é"}, [("files", "jpg", 110_234)])
    assert json.loads(shown) == {
        "imgsz": 640,
        "note": "é",
        "oscar-files": [
            {"key": "files", "file_format": "jpg", "data": "<base64 of 110,234 bytes>"}
        ],
    }
    assert "\n" in shown
    assert "é" in shown
